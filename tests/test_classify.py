from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components import prepare
from components.classical.any_classifier import load_any_classifier
from components.classify import classifier_input, classify_file
from components.dicom.read import read_image
from components.handover import Layout, StepError
from components.imaging.decoding import UnreadableImage
from components.imaging.geometry import fit_square
from components.learning.inference.classifier import NetworkClassifier, load_network_classifier
from tests.drawing import dicom, shapes, write_dicom
from tests.settings import small


@pytest.fixture
def classifier(project: Layout) -> NetworkClassifier:
    return load_network_classifier(project.model("classifier"))


def radiograph(rows: int = 60, columns: int = 45, seed: int = 0) -> np.ndarray:
    return (shapes(rows, columns, seed=seed) * 4000 + 20).astype(np.uint16)


def test_a_dicom_image_gets_a_label_a_probability_and_a_picture(classifier: NetworkClassifier, tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a.dcm", dicom(radiograph(), "CR"))
    found = classify_file(source, classifier, "classifier 3", tmp_path / "heat.png")
    assert found.model == "classifier 3" and 0 <= found.probability <= 1
    assert found.label == ("heart_failure" if found.probability >= classifier.threshold else "normal")
    assert Image.open(tmp_path / "heat.png").size == (classifier.size, classifier.size)
    with pytest.raises(StepError, match=r"heat\.png: expected no file there yet"):
        classify_file(source, classifier, "classifier 3", tmp_path / "heat.png")


def test_an_image_is_read_as_preparation_makes_it(classifier: NetworkClassifier, tmp_path: Path) -> None:
    settings = small()
    framed = np.pad(radiograph(61, 47), 5)  # a blanked surround takes no part in the range
    source = write_dicom(tmp_path / "a.dcm", dicom(framed, "CR"))
    prepared = fit_square(prepare._unit(read_image(source), settings.prepare)[0][0], classifier.size)
    assert classifier.settings.percentiles == (settings.prepare.percentile_low, settings.prepare.percentile_high)
    found, frame = classifier_input(source, classifier)
    np.testing.assert_array_equal(found[0], prepared)
    assert frame == 0


def test_what_cannot_be_read_is_named_with_the_remedy(classifier: NetworkClassifier, tmp_path: Path) -> None:
    colour = tmp_path / "colour.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(colour)
    with pytest.raises(StepError, match=r"colour\.png: expected a grey image, .* found RGB\. Convert it first"):
        classify_file(colour, classifier, "x")
    in_colour = replace(classifier, settings=replace(classifier.settings, channels=3))
    found, _ = classifier_input(colour, in_colour)
    assert found.shape == (3, classifier.size, classifier.size) and not np.allclose(found[0], found[1])
    black = tmp_path / "black.png"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(black)
    with pytest.raises(StepError, match=r"black\.png: expected an image with at least two values.*choose another"):
        classify_file(black, classifier, "x")
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 200)
    with pytest.raises(UnreadableImage, match="broken"):
        classify_file(broken, classifier, "x")


def test_grad_cam_is_drawn_of_a_network_alone(project: Layout, tmp_path: Path) -> None:
    source = tmp_path / "film.png"
    Image.fromarray((shapes(40, 40, seed=1) * 255).astype(np.uint8)).save(source)
    classical = load_any_classifier(project.model("classical_svm"))
    found = classify_file(source, classical, "classifier 2")
    assert 0 <= found.probability <= 1 and found.gradcam is None
    with pytest.raises(
        StepError, match="classifier 2: expected a network to draw Grad-CAM of, found a classical classifier"
    ):
        classify_file(source, classical, "classifier 2", tmp_path / "heat.png")


def test_a_grey_image_is_repeated_for_a_classifier_of_three_channels(
    classifier: NetworkClassifier, tmp_path: Path
) -> None:
    source = write_dicom(tmp_path / "a.dcm", dicom(radiograph(61, 47), "CR"))
    found, _ = classifier_input(source, replace(classifier, settings=replace(classifier.settings, channels=3)))
    grey, _ = classifier_input(source, classifier)
    np.testing.assert_array_equal(found, grey.repeat(3, 0))
