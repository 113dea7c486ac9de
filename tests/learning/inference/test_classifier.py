from pathlib import Path

import numpy as np
import pytest
import torch

from components.handover import StepError, read_json, write_json
from components.learning.inference.classifier import (
    InferenceSettings,
    load_network_classifier,
    logits_of,
    positive_probabilities,
)
from components.learning.models import build
from components.learning.weights import save_weights
from components.params.trainings import Augmentation

NETWORK = {
    "name": "densenet201", "growth_rate": 4, "blocks": [1, 1], "initial_channels": 4, "stem": "small", "classes": 2,
}  # fmt: skip
VARIED = Augmentation(15.0, 0.1, 0.1, False, 0.2, 0.1)


def saved(folder: Path, **changes: object) -> InferenceSettings:
    settings = {"views": 3, "temperature": 2.0, "threshold": 0.4, "seed": 9} | changes
    settings = InferenceSettings(("normal", "ill"), 28, 1, (0.1, 99.9), VARIED, **settings)  # type: ignore[arg-type]
    torch.manual_seed(0)
    save_weights(folder, build(NETWORK).state_dict(), {"network": NETWORK, "reading": settings.described()})
    return settings


def test_a_folder_gives_the_classifier_that_was_saved(tmp_path: Path) -> None:
    settings = saved(tmp_path)
    classifier = load_network_classifier(tmp_path)
    assert classifier.settings == settings
    assert (classifier.classes, classifier.size, classifier.channels, classifier.threshold) == (
        ("normal", "ill"),
        28,
        1,
        0.4,
    )
    images = np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
    logits = logits_of(classifier.network, torch.from_numpy(images), torch.device("cpu"), VARIED, 3, 9)
    np.testing.assert_allclose(classifier.probabilities(images), (logits.double() / 2).softmax(1)[:, 1].numpy())


def test_an_image_is_read_alike_alone_and_among_others(tmp_path: Path) -> None:
    saved(tmp_path)
    classifier = load_network_classifier(tmp_path)
    images = np.random.default_rng(1).random((70, 1, 28, 28), np.float32)
    together = classifier.probabilities(images)
    np.testing.assert_allclose(classifier.probabilities(images[66:67]), together[66:67], rtol=1e-4)


def test_one_view_is_the_image_itself_and_more_are_an_average(tmp_path: Path) -> None:
    saved(tmp_path)
    network, image = load_network_classifier(tmp_path).network, torch.rand(1, 1, 28, 28)
    one_view, three_views = (logits_of(network, image, torch.device("cpu"), VARIED, views, 9) for views in (1, 3))
    torch.testing.assert_close(one_view, network(image).detach(), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(one_view, three_views)


def test_a_temperature_moves_probabilities_towards_the_middle() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    hot, cold = positive_probabilities(logits, 4.0), positive_probabilities(logits, 1.0)
    assert (np.abs(hot - 0.5) < np.abs(cold - 0.5)).all() and ((hot > 0.5) == (cold > 0.5)).all()


def test_a_configuration_that_is_no_classifiers_is_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path)
    config = read_json(tmp_path / "config.json")
    del config["reading"]["temperature"]
    write_json(tmp_path / "config.json", config)
    with pytest.raises(StepError, match=r"expected the configuration of a classifier; .*temperature"):
        load_network_classifier(tmp_path)
