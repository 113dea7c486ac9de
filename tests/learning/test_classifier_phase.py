from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from components.handover import LabelledRow, StepError, write_rows
from components.learning.classifier_phase import (
    ClassifierPhase,
    augmented,
    classes_of,
    load_labelled,
    threshold_for,
)
from components.learning.models import build
from tests import prepared
from tests.settings import small


def test_a_small_densenet_learns_a_bright_disc(tmp_path: Path) -> None:
    folder = prepared.classification(tmp_path).classification
    settings = small(classifier={"batch": 12, "rate": 3e-3}).train["classifier"]
    classes = classes_of(folder)
    assert classes == ("normal", "heart_failure")
    training, validation = (load_labelled(folder, split, classes) for split in ("train", "validation"))
    torch.manual_seed(0)
    network = build(settings.network, classes=2)  # type: ignore[union-attr]
    fabric = Fabric(accelerator="cpu", devices=1)
    phase = ClassifierPhase(network, settings, fabric, training, validation, 0)  # type: ignore[arg-type]
    before = phase.validate()["validation_log_likelihood"]
    for step in range(60):
        phase.step(step)
    scores = phase.validate()
    assert scores["validation_log_likelihood"] > before and scores["validation_auroc"] > 0.9


def test_augmentation_keeps_shape_and_range_and_depends_on_the_draw_alone() -> None:
    images = torch.rand(3, 1, 32, 32)
    one, other = (augmented(images, np.random.default_rng(4)) for _ in range(2))
    torch.testing.assert_close(one, other)
    assert one.shape == images.shape and 0 <= float(one.min()) <= float(one.max()) <= 1
    assert not torch.allclose(one, images)


def test_the_threshold_finds_the_wanted_share_and_is_the_highest_that_does() -> None:
    truth = np.array([True] * 10 + [False] * 10)
    scores = np.linspace(0.95, 0.0, 20)
    threshold = threshold_for(0.9, truth, scores)
    assert (scores[truth] >= threshold).mean() == 0.9
    assert (scores[truth] >= np.nextafter(threshold, 1)).mean() < 0.9
    with pytest.raises(StepError, match="expected positive cases"):
        threshold_for(0.9, np.zeros(3, bool), np.ones(3))


def test_one_label_or_an_unknown_one_is_named(tmp_path: Path) -> None:
    folder = prepared.classification(tmp_path).classification
    with pytest.raises(StepError, match="found heart_failure"):
        load_labelled(folder, "train", ("normal", "pneumonia"))
    write_rows(folder / "index.csv", LabelledRow, [LabelledRow("0", "P0", "normal", "train", True)])
    with pytest.raises(StepError, match="expected two labels, found 1: normal"):
        classes_of(folder)
