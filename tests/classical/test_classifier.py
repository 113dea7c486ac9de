from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.classical.classifier import load_classical
from components.handover import Layout, StepError, read_json, write_json
from components.handover.methods import CLASSICAL
from components.learning.datasets.labelled import load_labelled


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_classifier_comes_back_from_its_folder_alone(trained: Layout, name: str) -> None:
    classifier = load_classical(trained.model(name))
    images = load_labelled(trained.classification, "test", classifier.classes).images.numpy()
    found = classifier.probabilities(images)
    assert found.shape == (len(images),) and (found >= 0).all() and (found <= 1).all()
    assert (classifier.size, classifier.channels, classifier.percentiles) == (32, 1, (0.1, 99.9))
    np.testing.assert_allclose(classifier.probabilities(images[::-1]), found[::-1], rtol=1e-9)
    colour = np.concatenate([images * 0.9, images, images * 1.1], 1)
    np.testing.assert_allclose(classifier.probabilities(colour), found, atol=0.02)


def test_the_deep_classifier_needs_no_other_folder(trained: Layout, tmp_path: Path) -> None:
    own = Layout(tmp_path)
    own.model("classical_deep").parent.mkdir(parents=True)
    own.model("classical_deep").symlink_to(trained.model("classical_deep"))
    assert load_classical(own.model("classical_deep")).classes == ("normal", "heart_failure")


def test_what_is_no_classical_classifier_is_named(project: Layout) -> None:
    folder = project.model("classical_svm")
    with pytest.raises(StepError, match=r"classifier: expected weights\.safetensors that fit config\.json"):
        load_classical(project.model("classifier"))
    write_json(
        folder / "config.json", read_json(folder / "config.json") | {"classical": {"extractor": {"kind": "eye"}}}
    )
    with pytest.raises(StepError, match=r"classical_svm: .*expected handmade, deep or centroids, found 'eye'"):
        load_classical(folder)
    (folder / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(StepError, match="Train this classifier again"):
        load_classical(folder)
