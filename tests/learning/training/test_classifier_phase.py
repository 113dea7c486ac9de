from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from components.learning.datasets.labelled import classes_of, load_labelled
from components.learning.models import build
from components.learning.training.classifier_phase import ClassifierPhase
from tests import prepared
from tests.settings import small


def test_a_small_densenet_learns_a_bright_disc(tmp_path: Path) -> None:
    folder = prepared.classification(tmp_path).classification
    settings = small(classifier={"batch_size": 12, "learning_rate": 3e-3}).train["classifier"]
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


def phase_of(folder: Path, **settings: object) -> ClassifierPhase:
    training = small(classifier={"batch_size": 12, "learning_rate": 3e-3, **settings}).train["classifier"]
    sides = [load_labelled(folder, split, classes_of(folder)) for split in ("train", "validation")]
    torch.manual_seed(0)
    network = build(training.network, classes=2)  # type: ignore[union-attr]
    return ClassifierPhase(network, training, Fabric(accelerator="cpu", devices=1), *sides, 0)  # type: ignore[arg-type]


def changed(phase: ClassifierPhase, steps: range) -> list[float]:
    """How far each depth of the network moves, from the stem to the head; batch norm's counts too, in the last."""
    network = phase.modules["classifier"]
    before = [[p.detach().clone() for p in group] for group in network.by_depth()]  # type: ignore[operator]
    for step in steps:
        phase.step(step)
    after = network.by_depth()  # type: ignore[operator]
    return [
        max(float((p.detach() - old).abs().max()) for p, old in zip(group, olds, strict=True))
        for group, olds in zip(after, before, strict=True)
    ]


def test_at_first_the_head_learns_alone_and_then_early_layers_more_slowly(tmp_path: Path) -> None:
    folder = prepared.classification(tmp_path).classification
    phase = phase_of(folder, head_steps=2, first_layer_rate_factor=0.01, weight_decay=0.0)
    counts = {key: value.clone() for key, value in phase.modules["classifier"].state_dict().items() if "running" in key}
    *body, head = changed(phase, range(2))
    assert head > 0 and not any(body)
    assert all(torch.equal(phase.modules["classifier"].state_dict()[key], value) for key, value in counts.items())
    depths = changed(phase, range(2, 3))
    assert all(0 < early < late for early, late in pairwise(depths)), depths


def test_balanced_sampling_shows_both_classes_equally_often(tmp_path: Path) -> None:
    folder = prepared.classification(tmp_path).classification
    phase = phase_of(folder, batch_size=400, balance="sampling", label_smoothing=0.1)
    keep = np.r_[np.flatnonzero(phase._training_labels == 0), np.flatnonzero(phase._training_labels == 1)[:1]]
    phase._training_labels, phase._labels = phase._training_labels[keep], phase._labels[keep]
    phase._images = phase._images[keep]
    _, targets = phase._batch(0)
    torch.testing.assert_close(targets.unique(), torch.tensor([0.05, 0.95]))
    assert 0.4 < float(targets[:, 1].mean()) < 0.6
