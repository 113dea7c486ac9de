from __future__ import annotations

import numpy as np
import torch

from components.classical.deep import Deep, deep_from
from components.learning.models import build
from tests.drawing import shapes

SETTINGS = {"name": "densenet201", "growth_rate": 4, "blocks": [2, 2, 2, 2], "initial_channels": 8, "classes": 2}


def test_features_are_what_the_head_decides_from() -> None:
    torch.manual_seed(0)
    network = build(SETTINGS).eval()
    image = shapes(37, 45, seed=1)
    features = torch.from_numpy(Deep(network, SETTINGS).features(image)).float()
    head = network.network.classifier  # type: ignore[union-attr]
    with torch.inference_mode():
        torch.testing.assert_close(head(features), network(torch.from_numpy(image)[None, None])[0])  # type: ignore[operator]


def test_a_network_comes_back_from_its_arrays() -> None:
    own = Deep(build(SETTINGS).eval(), SETTINGS)
    image = shapes(33, 33, seed=2)
    np.testing.assert_array_equal(deep_from(SETTINGS, own.tensors()).features(image), own.features(image))
