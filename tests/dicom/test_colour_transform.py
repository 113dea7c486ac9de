"""Colour frames of JPEG 2000 under a header that calls them something else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, JPEG2000Lossless

from components.dicom.read import open_dicom, read_dicom
from tests.drawing import dicom, shapes, write_dicom

COLOURED = np.dstack([(shapes(24, 32, seed) * 250).astype(np.uint8) for seed in range(3)])


def jpeg_2000(said: str, transformed: int, lossless: bool = True) -> FileDataset:
    stream = BytesIO()
    Image.fromarray(COLOURED).save(stream, "JPEG2000", no_jp2=True, mct=transformed, irreversible=not lossless)
    image = dicom(COLOURED, "MR", PhotometricInterpretation=said)
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless if lossless else JPEG2000
    image.PixelData = encapsulate([stream.getvalue()])
    image["PixelData"].is_undefined_length = True
    return image


@pytest.mark.parametrize("said", ["YBR_FULL", "YBR_RCT", "RGB"])
def test_frames_that_transform_their_colours_are_not_transformed_again(tmp_path: Path, said: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000(said, 1))
    np.testing.assert_array_equal(read_dicom(path).pixels[0], COLOURED)


@pytest.mark.parametrize(("lossless", "name"), [(True, "YBR_RCT"), (False, "YBR_ICT")])
def test_the_header_is_told_which_transformation_it_was(tmp_path: Path, lossless: bool, name: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000("YBR_FULL_422", 1, lossless))
    assert open_dicom(path).PhotometricInterpretation == name
    assert np.abs(read_dicom(path).pixels[0] - COLOURED).mean() < 3


def test_frames_that_do_not_are_what_the_header_says(tmp_path: Path) -> None:
    assert open_dicom(write_dicom(tmp_path / "a.dcm", jpeg_2000("YBR_FULL", 0))).PhotometricInterpretation == "YBR_FULL"
