"""Overlays that lie in pixel bits: refused, because their letters would stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000Lossless

from components.dicom.read import read_dicom
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, shapes, write_dicom

PIXELS = (shapes(40, 48) * 4000).astype(np.uint16)
LETTERS = (np.arange(1920).reshape(40, 48) % 5 == 0).astype(np.uint16)


def with_overlay(bit: int, stored: int = 12, high: int = 11, group: int = 0x6000) -> FileDataset:
    image = dicom(PIXELS | LETTERS << bit, "MR", BitsStored=stored, HighBit=high)
    for element, vr, value in ((0x10, "US", 40), (0x11, "US", 48), (0x100, "US", 16), (0x102, "US", bit)):
        image.add_new((group, element), vr, value)
    return image


def compressed(image: FileDataset) -> FileDataset:
    said, image.BitsStored, image.HighBit = image.BitsStored, 16, 15
    image.compress(JPEG2000Lossless, generate_instance_uid=False)
    image.BitsStored, image.HighBit = said, said - 1
    return image


@pytest.mark.parametrize("group", [0x6000, 0x601E])
def test_an_overlay_in_compressed_frames_is_refused(tmp_path: Path, group: int) -> None:
    image = compressed(with_overlay(12, group=group))
    with pytest.raises(UnreadableImage, match=rf"Overlay Bit Position \({group:04X},0102\): expected .* Correct it"):
        read_dicom(write_dicom(tmp_path / "a.dcm", image))


def test_an_overlay_in_the_highest_pixel_bit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="Overlay Bit Position"):
        read_dicom(write_dicom(tmp_path / "a.dcm", with_overlay(15, 16, 15)))


def test_an_overlay_beside_the_pixel_bits_is_dropped(tmp_path: Path) -> None:
    pixels = read_dicom(write_dicom(tmp_path / "a.dcm", with_overlay(12))).pixels
    np.testing.assert_array_equal(pixels[0], PIXELS)


def test_an_overlay_with_data_of_its_own_is_none_in_the_pixels(tmp_path: Path) -> None:
    image = dicom(PIXELS, "MR")
    image.add_new(0x60000100, "US", 1)
    image.add_new(0x60000102, "US", 0)
    image.add_new(0x60003000, "OW", bytes(240))
    np.testing.assert_array_equal(read_dicom(write_dicom(tmp_path / "a.dcm", image)).pixels[0], PIXELS)


def test_frames_that_hold_no_overlay_are_read_whatever_the_header_says(tmp_path: Path) -> None:
    image = with_overlay(12)
    image.PixelData = PIXELS.tobytes()
    pixels = read_dicom(write_dicom(tmp_path / "a.dcm", compressed(image))).pixels
    np.testing.assert_array_equal(pixels[0], PIXELS)
