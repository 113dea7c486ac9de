"""Features of a trained network: the last feature maps of the classifier, averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from components.classical.segmentation import Image
from components.learning.models import build


@dataclass(frozen=True)
class Deep:
    """A DenseNet-201, in evaluation mode, and the settings that build it."""

    network: nn.Module
    settings: dict[str, Any]

    @torch.inference_mode()
    def features(self, image: Image) -> NDArray[np.float64]:
        """The averaged last feature maps of one image (rows, columns) in [0, 1]: (features,)."""
        features = self.network.last_features(torch.from_numpy(np.ascontiguousarray(image))[None, None])  # type: ignore[operator]
        return np.asarray(features[0].double().numpy())

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}


def deep_from(settings: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Deep:
    """The network that `settings` build, with the weights of `Deep.tensors`."""
    network = build(settings)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return Deep(network.eval(), settings)
