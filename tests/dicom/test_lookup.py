"""Look-up tables in every way to write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from components.dicom.deidentify import Pseudonyms, deidentify
from components.dicom.lookup import applied, descriptor, entries, expanded
from components.dicom.read import read_dicom
from components.enhance import enhance_file
from components.imaging.decoding import FaultyFile
from tests.drawing import dicom, shapes, write_dicom
from tests.enlarging import BICUBIC

COLOURS = ("Red", "Green", "Blue")
SECRET = b"to Erika"


def table(said: list[int], vr: str, data: bytes | list[int]) -> Dataset:
    dataset = Dataset()
    dataset.add_new("LUTDescriptor", "US", said)
    dataset.add_new("LUTData", vr, data)
    return dataset


def words(values: NDArray[np.int64]) -> bytes:
    return values.astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("said", "vr", "data"),
    [
        ([5, 0, 16], "OW", words(np.arange(5))),
        ([5, 0, 16], "US", list(range(5))),
        ([5, 0, 8], "OW", bytes(range(5)) + b"\0"),
        ([5, 0, 8], "OW", words(np.arange(5))),
        ([5, 0, 8], "US", [0x0100, 0x0302, 0x0004]),
        ([5, 0, 16], "OW", bytes(range(5)) + b"\0"),
        ([5, 0, 8], "OW", bytes(range(5)) + SECRET + b"\0"),
    ],
)
def test_entries_are_the_same_however_they_are_written(said: list[int], vr: str, data: bytes | list[int]) -> None:
    assert entries(table(said, vr, data), "LUT").tolist() == list(range(5))


def test_big_endian_words_and_a_descriptor_of_nothing() -> None:
    values = np.arange(2**16)
    assert np.array_equal(entries(table([0, 0, 16], "OW", values.astype(">u2").tobytes()), "LUT", big=True), values)
    assert descriptor(table([0, 7, 16], "OW", b""), "LUT") == (2**16, 7, 16)


@pytest.mark.parametrize(
    ("said", "data"), [([5, 0, 16], words(np.arange(4))), ([5, 0, 8], b"1234"), ([5, 0], words(np.arange(5)))]
)
def test_a_table_that_does_not_fit_its_descriptor_is_refused_by_its_name(said: list[int], data: bytes) -> None:
    with pytest.raises(FaultyFile, match=r"LUT D\w+ \(0028,300[26]\): expected .*, found .*\. Correct it"):
        entries(table(said, "OW", data), "LUT")


def test_values_outside_of_a_table_take_its_ends() -> None:
    ends = np.array([7, 8, 9], np.uint8)
    assert applied(np.array([-2, 3, 4, 5, 900], np.int16), 3, ends).tolist() == [7, 7, 8, 9, 9]
    assert applied(np.array([-20, -18], np.int16), 2**16 - 20, ends).tolist() == [7, 9]
    assert applied(np.array([300, 2], np.uint16), 0, ends).tolist() == [9, 9], "300 is not 44"


def coloured(stored: NDArray[np.uint16], count: int, bits: int, data: bytes) -> Dataset:
    image = dicom(stored, "US", PhotometricInterpretation="PALETTE COLOR")
    image.Modality, image.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"
    for colour in COLOURS:
        image.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [count, 0, bits])
        image.add_new(f"{colour}PaletteColorLookupTableData", "OW", data)
    return image


@pytest.mark.parametrize("count", [1000, 999])
def test_more_than_256_colours_of_8_bits_are_told_apart(tmp_path: Path, count: int) -> None:
    stored = (shapes(20, 24) * (count - 1)).astype(np.uint16)
    colours = (np.arange(count) // 4).astype(np.uint8)
    image = coloured(stored, count, 8, colours.tobytes() + b"\0" * (count % 2))
    for written in (image, deidentify(image, Pseudonyms(b"salt"))):
        pixels = read_dicom(write_dicom(tmp_path / "a.dcm", written)).pixels
        np.testing.assert_array_equal(pixels[0, ..., 1], colours[stored])


def test_colours_of_8_bits_in_words_do_not_come_out_black(tmp_path: Path) -> None:
    stored = (shapes(20, 24) * 199).astype(np.uint16)
    source = write_dicom(tmp_path / "a.dcm", coloured(stored, 200, 8, words(np.arange(200))))
    enhance_file(source, tmp_path / "out.dcm", BICUBIC)
    made = read_dicom(tmp_path / "out.dcm").pixels[0, ::2, ::2, 0]
    assert np.abs(made - stored).mean() < 20


def test_segments_are_expanded_and_what_is_none_is_refused() -> None:
    palette = Dataset()
    palette.RedPaletteColorLookupTableDescriptor = [6, 0, 16]
    palette.SegmentedRedPaletteColorLookupTableData = words(np.array([0, 2, 10, 20, 1, 4, 60]))
    assert expanded(palette, "RedPaletteColorLookupTable").tolist() == [10, 20, 30, 40, 50, 60]
    palette.SegmentedRedPaletteColorLookupTableData += SECRET
    with pytest.raises(FaultyFile, match="Segmented Red Palette"):
        expanded(palette, "RedPaletteColorLookupTable")
