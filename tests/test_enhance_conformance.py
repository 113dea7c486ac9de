"""Real images, sharpened: no error against the DICOM standard that the source has not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from components.dicom.read import open_dicom
from components.enhance import enhance_file
from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, write_dicom
from tests.enlarging import BICUBIC, drawn, enhanced
from tests.validator import dciodvfy, errors

__all__ = ["dciodvfy"]  # fixtures

REAL = Path(str(files("data_store"))) / "data"
SMALL = 2**20 + 2**16  # pixels of all frames
SHIPPED = Path(pydicom.data.__file__).with_name("test_files")


def small_images() -> dict[str, Path]:
    """Every image of both packages that can be read and is small, once by its name."""
    found = {}
    for path in sorted([*SHIPPED.rglob("*.dcm"), *REAL.glob("*.dcm")]):
        with suppress(UnreadableImage):
            header = open_dicom(path, by_frame=True)
            if header.Rows * header.Columns * int(header.get("NumberOfFrames") or 1) <= SMALL:
                found[path.name] = path
    return found


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KR.dcm",  # CT, signed, padding
        "MR-SIEMENS-DICOM-WithOverlays.dcm",
        "RG3_UNCR.dcm",  # CR, MONOCHROME1
        "JPEG-LL.dcm",  # secondary capture of a nuclear image
        "US1_J2KI.dcm",  # YBR_ICT, lossy
        "JPGLosslessP14SV1_1s_1f_8b.dcm",
        "OBXXXX1A_rle_2frame.dcm",  # palette, two frames
        "gdcm-US-ALOKA-16_big.dcm",  # palette of 16 bits, big endian
        "emri_small_RLE.dcm",  # enhanced MR
        "SC_rgb_expb_16bit.dcm",
        "SC_ybr_full_uncompressed.dcm",
    ],
)
def test_real_images_gain_no_error_against_the_standard(name: str, tmp_path: Path, dciodvfy: str) -> None:
    enhance_file(REAL / name, tmp_path / name, BICUBIC)
    assert errors(dciodvfy, tmp_path / name) - errors(dciodvfy, REAL / name) == set()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_no_small_image_at_hand_gains_an_error_against_the_standard(tmp_path: Path, dciodvfy: str) -> None:
    gained, classes = {}, set()
    for name, path in small_images().items():
        with suppress(UnreadableImage, StepError):
            enhance_file(path, tmp_path / name, BICUBIC)
            before, header = path, open_dicom(path)
            if header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:  # the validator reads none
                header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                before = write_dicom(tmp_path / "inflated.dcm", header)
            gained[name] = errors(dciodvfy, tmp_path / name) - errors(dciodvfy, before)
            classes.add(header.SOPClassUID.name)
    assert {name: more for name, more in gained.items() if more} == {}
    assert len(gained) > 90 and len(classes) >= 6


def test_the_validator_would_see_a_wrong_image_type(tmp_path: Path, dciodvfy: str) -> None:
    image = enhanced(tmp_path, dicom(drawn(4000), "NM", ImageType=["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]))
    right = errors(dciodvfy, tmp_path / "out.dcm")
    image.ImageType = ["DERIVED", "SECONDARY", "STATIC", "EMISSION"]
    assert errors(dciodvfy, write_dicom(tmp_path / "wrong.dcm", image)) - right


def test_real_images_keep_their_values_and_their_place(tmp_path: Path) -> None:
    source = dcmread(REAL / "693_UNCR.dcm")
    enhance_file(REAL / "693_UNCR.dcm", tmp_path / "out.dcm", replace(BICUBIC, version="4"))
    image = dcmread(tmp_path / "out.dcm")
    before, after = source.pixel_array.astype(float), image.pixel_array.astype(float)
    assert np.abs(after.reshape(512, 2, 512, 2).mean((1, 3)) - before).mean() < 15
    extent = [float(spacing) * sides for spacing, sides in zip(source.PixelSpacing, before.shape, strict=True)]
    assert [float(s) * n for s, n in zip(image.PixelSpacing, after.shape, strict=True)] == pytest.approx(
        extent, abs=0.01
    )
