"""Compressed frames that have more bits, or another sign, than their header says."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from components.dicom.read import open_dicom, read_dicom
from components.enhance import enhance_file
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, shapes, write_dicom
from tests.enlarging import BICUBIC

LOW = shapes(40, 48)


def jpeg_2000(stored: NDArray[Any], **said: int) -> FileDataset:
    """`stored` as a frame of its own depth and sign, under a header that says otherwise."""
    image = dicom(stored, "MR")
    image.compress(uid.JPEG2000Lossless)
    for keyword, value in said.items():
        setattr(image, keyword, value)
    return image


def test_the_frames_decide_where_they_hold_more_bits_than_the_header_says(tmp_path: Path) -> None:
    stored = (LOW * 65000).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000(stored, BitsStored=12, HighBit=11))
    image = open_dicom(path)
    assert (image.BitsStored, image.HighBit) == (16, 15)
    np.testing.assert_array_equal(read_dicom(path).pixels[0], stored)
    enhance_file(path, tmp_path / "out.dcm", BICUBIC)
    sharp = dcmread(tmp_path / "out.dcm")
    assert (sharp.BitsStored, sharp.HighBit) == (16, 15)
    assert np.abs(sharp.pixel_array[::2, ::2].astype(float) - stored).mean() < 2000


def test_values_that_fit_leave_the_header_as_it_is(tmp_path: Path) -> None:
    stored = (LOW * 4000).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000(stored, BitsStored=12, HighBit=11))
    assert open_dicom(path).BitsStored == 12
    np.testing.assert_array_equal(read_dicom(path).pixels[0], stored)


def test_signed_values_of_more_bits_are_whole(tmp_path: Path) -> None:
    stored = (LOW * 60000 - 30000).astype(np.int16)
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000(stored, BitsStored=12, HighBit=11))
    assert open_dicom(path).BitsStored == 16
    np.testing.assert_array_equal(read_dicom(path).pixels[0], stored)


def test_more_bits_than_are_allocated_are_refused(tmp_path: Path) -> None:
    stored = (LOW * 65000).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000(stored, BitsAllocated=8, BitsStored=8, HighBit=7))
    with pytest.raises(UnreadableImage, match=r"expected frames of at most 8 bits .*, found a precision of 16"):
        read_dicom(path)


@pytest.mark.parametrize(
    ("dtype", "lowest", "representation"), [(np.int16, -900, 0), (np.uint16, 40000, 1)], ids=["signed", "unsigned"]
)
def test_another_sign_than_the_frames_is_refused_where_it_matters(
    tmp_path: Path, dtype: type[np.generic], lowest: int, representation: int
) -> None:
    image = jpeg_2000((LOW * 2000 + lowest).astype(dtype), PixelRepresentation=representation)
    with pytest.raises(UnreadableImage, match=r"Pixel Representation \(0028,0103\): expected what the frames say"):
        read_dicom(write_dicom(tmp_path / "a.dcm", image))


@pytest.mark.parametrize(("dtype", "representation"), [(np.int16, 0), (np.uint16, 1)], ids=["signed", "unsigned"])
def test_another_sign_does_no_harm_where_every_value_is_the_same(
    tmp_path: Path, dtype: type[np.generic], representation: int
) -> None:
    stored = (LOW * 2000).astype(dtype)
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000(stored, PixelRepresentation=representation))
    np.testing.assert_array_equal(read_dicom(path).pixels[0], stored)


def jpeg(tail: bytes = b"") -> FileDataset:
    stored, stream = (LOW * 255).astype(np.uint8), BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=95)
    image = dicom(stored, "US")
    image.PixelData = encapsulate([stream.getvalue() + tail])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    return image


@pytest.mark.parametrize("tail", [b"\0", bytes(64), bytes(5000), b"\xff" * 64, b" " * 64, b"\r\n", b"Meier, Anna " * 9])
def test_what_follows_a_whole_jpeg_is_no_part_of_it(tmp_path: Path, tail: bytes) -> None:
    plain = read_dicom(write_dicom(tmp_path / "plain.dcm", jpeg())).pixels
    padded = read_dicom(write_dicom(tmp_path / "padded.dcm", jpeg(tail))).pixels
    np.testing.assert_array_equal(padded, plain)


def test_a_jpeg_of_more_bits_than_are_allocated_is_refused(tmp_path: Path) -> None:
    image = jpeg()
    image.PixelData = image.PixelData.replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c")
    image["PixelData"].VR = "OB"
    with pytest.raises(UnreadableImage, match="found a precision of 12"):
        read_dicom(write_dicom(tmp_path / "a.dcm", image))


def test_frames_of_8_bits_under_a_header_of_16_are_sharpened_into_a_file_that_can_be_read(tmp_path: Path) -> None:
    stored = (LOW * 250).astype(np.uint8)
    said = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
    path = write_dicom(tmp_path / "a.dcm", jpeg_2000(stored, **said))
    np.testing.assert_array_equal(read_dicom(path).pixels[0], stored)
    enhance_file(path, tmp_path / "out.dcm", BICUBIC)
    sharp = read_dicom(tmp_path / "out.dcm").pixels[0]
    assert sharp.max() <= 255 and np.abs(sharp[::2, ::2] - stored).mean() < 10
