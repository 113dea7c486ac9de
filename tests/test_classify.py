from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components import prepare
from components.classify import classify_file, readable
from components.dicom.read import UnreadableImage, read_image
from components.handover import Layout, StepError
from components.imaging.geometry import fit_square
from components.learning.reading import Reader, load_reader
from tests.drawing import dicom, shapes, write_dicom
from tests.settings import small


@pytest.fixture
def reader(project: Layout) -> Reader:
    return load_reader(project.model("classifier"))


def radiograph(rows: int = 60, columns: int = 45, seed: int = 0) -> np.ndarray:
    return (shapes(rows, columns, seed=seed) * 4000 + 20).astype(np.uint16)


def test_a_dicom_image_gets_a_label_a_probability_and_a_picture(reader: Reader, tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "a.dcm", dicom(radiograph(), "CR"))
    found = classify_file(source, reader, "classifier 3", tmp_path / "heat.png")
    assert found.model == "classifier 3" and 0 <= found.probability <= 1
    assert found.label == ("heart_failure" if found.probability >= reader.threshold else "normal")
    assert Image.open(tmp_path / "heat.png").size == (reader.size, reader.size)
    with pytest.raises(StepError, match=r"heat\.png: expected no file there yet"):
        classify_file(source, reader, "classifier 3", tmp_path / "heat.png")


def test_an_image_is_read_as_preparation_makes_it(reader: Reader, tmp_path: Path) -> None:
    settings = small()
    framed = np.pad(radiograph(61, 47), 5)  # a blanked surround takes no part in the range
    source = write_dicom(tmp_path / "a.dcm", dicom(framed, "CR"))
    prepared = fit_square(prepare._unit(read_image(source), settings.prepare)[0][0], reader.size)
    assert reader.manner.percentiles == (settings.prepare.percentile_low, settings.prepare.percentile_high)
    found, frame = readable(source, reader)
    np.testing.assert_array_equal(found[0], prepared)
    assert frame == 0


def test_what_cannot_be_read_is_named_with_the_remedy(reader: Reader, tmp_path: Path) -> None:
    colour = tmp_path / "colour.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(colour)
    with pytest.raises(StepError, match=r"colour\.png: expected a grey image, .* found RGB\. Convert it first"):
        classify_file(colour, reader, "x")
    black = tmp_path / "black.png"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(black)
    with pytest.raises(StepError, match=r"black\.png: expected an image with at least two values"):
        classify_file(black, reader, "x")
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 200)
    with pytest.raises(UnreadableImage, match="broken"):
        classify_file(broken, reader, "x")
