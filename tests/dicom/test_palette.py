"""Colours of palettes: one palette in every way to write it, through every way to read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from components.dicom.palette import colours
from components.dicom.read import read_dicom
from components.enhance import enhance_file
from components.imaging.decoding import FaultyFile, UnreadableImage
from tests.drawing import dicom, shapes, write_big_endian, write_dicom
from tests.enlarging import BICUBIC

INDICES = (shapes(24, 32) * 63).astype(np.uint8)
TABLES = {name: np.arange(64) * (number + 1) for number, name in enumerate(("Red", "Green", "Blue"))}


def palette(bits: int, big: bool, how: str = "OW") -> FileDataset:
    """An image of 64 colours, each table in 8 or 16 bits, as words, as numbers (VR US) or in segments (C.7.9.2)."""
    image = dicom(INDICES, "US", PhotometricInterpretation="PALETTE COLOR")
    image["PixelData"].VR = "OB"
    for name, values in TABLES.items():
        entries = values * (300 if bits == 16 else 1)
        table = f"{name}PaletteColorLookupTable"
        image.add_new(f"{table}Descriptor", "US", [64, 0, bits])
        if how == "US":
            image.add_new(f"{table}Data", "US", [int(value) for value in entries])
            continue
        if how == "segments":
            entries, table = np.array([0, 64, *entries]), f"Segmented{table}"
        words = entries.astype("<u2" if bits == 16 else "u1").tobytes()
        data = np.frombuffer(words, "<u2").astype(">u2").tobytes() if big else words
        image.add_new(f"{table}Data", "OW", data)
    return image


WAYS = [(8, "OW"), (16, "OW"), (16, "US"), (8, "segments"), (16, "segments")]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("bits", "how"), WAYS)
def test_a_palette_has_its_colours_however_it_is_written(tmp_path: Path, big: bool, bits: int, how: str) -> None:
    expected = np.stack([values[INDICES] * (300 if bits == 16 else 1) for values in TABLES.values()], axis=-1)
    write = write_big_endian if big else write_dicom
    pixels = read_dicom(write(tmp_path / "a.dcm", palette(bits, big, how))).pixels
    np.testing.assert_array_equal(pixels[0], expected)


@pytest.mark.parametrize(("bits", "how"), WAYS)
def test_an_enlargement_has_the_same_colours_in_every_byte_order(tmp_path: Path, bits: int, how: str) -> None:
    made = []
    for big in (False, True):
        write = write_big_endian if big else write_dicom
        source = write(tmp_path / f"{big}.dcm", palette(bits, big, how))
        enhance_file(source, tmp_path / f"out-{big}.dcm", BICUBIC)
        made.append(dcmread(tmp_path / f"out-{big}.dcm").pixel_array)
    np.testing.assert_array_equal(*made)
    assert made[0].max() > 60


def test_a_palette_that_lacks_its_table_is_refused() -> None:
    image = palette(16, big=False)
    del image.GreenPaletteColorLookupTableData
    with pytest.raises(FaultyFile, match="its palette cannot be applied"):
        colours(INDICES, image)


@pytest.mark.parametrize("keyword", ["RedPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"])
def test_what_a_palette_lacks_is_named(tmp_path: Path, keyword: str) -> None:
    image = palette(16, big=False)
    del image[keyword]
    with pytest.raises(UnreadableImage, match=r"expected (Red|Blue) Palette Color Lookup Table .*, found none"):
        read_dicom(write_dicom(tmp_path / "a.dcm", image))
