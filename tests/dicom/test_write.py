from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite, uid
from pydicom.dataset import Dataset, FileDataset

from components.dicom.write import derive, obstacles, save
from components.handover import StepError
from tests.drawing import dicom

SMALL = np.arange(35, dtype=np.uint16).reshape(5, 7)


def finer(stored: NDArray[Any], scale: int = 2) -> NDArray[Any]:
    rows = stored.ndim - 2 if stored.shape[-1] != 3 else stored.ndim - 3
    return stored.repeat(scale, rows).repeat(scale, rows + 1)


def written(tmp_path: Path, source: Dataset, stored: NDArray[Any], scale: int = 2) -> FileDataset:
    save(derive(source, stored, scale, "sr-generator", "3"), tmp_path / "out.dcm")
    return dcmread(tmp_path / "out.dcm")


def test_pixels_come_back_as_they_were_given(tmp_path: Path) -> None:
    image = written(tmp_path, dicom(SMALL, "CT", BitsStored=12, HighBit=11), finer(SMALL))
    np.testing.assert_array_equal(image.pixel_array, finer(SMALL))
    assert image.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    assert (image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation) == (16, 12, 11, 0)
    assert (image.RescaleSlope, image.RescaleIntercept) == (1, -1024)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32])
def test_depth_and_sign_stay(tmp_path: Path, dtype: type[np.generic]) -> None:
    stored = (SMALL - 17).astype(dtype) if np.dtype(dtype).kind == "i" else SMALL.astype(dtype)
    image = written(tmp_path, dicom(stored, "NM"), finer(stored, 3), 3)
    np.testing.assert_array_equal(image.pixel_array, finer(stored, 3))
    assert image.pixel_array.dtype == dtype


def test_frames_and_colour_stay(tmp_path: Path) -> None:
    films = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(2, 5, 7)
    colour = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    for stored in (films, colour):
        np.testing.assert_array_equal(written(tmp_path, dicom(stored, "US"), finer(stored)).pixel_array, finer(stored))


def test_a_mapped_file_is_streamed(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "pixels", np.uint16, mode="w+", shape=(10, 14))
    mapped[:] = finer(SMALL)
    image = derive(dicom(SMALL, "CT"), mapped, 2, "sr-generator", "3")
    assert image["PixelData"].is_buffered
    save(image, tmp_path / "out.dcm")
    np.testing.assert_array_equal(dcmread(tmp_path / "out.dcm").pixel_array, finer(SMALL))


def test_a_palette_becomes_the_colours_it_stood_for(tmp_path: Path) -> None:
    source = dicom(SMALL.astype(np.uint8), "US", PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(source, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(source, f"{colour}PaletteColorLookupTableData", bytes(512))
    stored = np.zeros((10, 14, 3), np.uint8)
    image = written(tmp_path, source, stored)
    assert (image.PhotometricInterpretation, image.SamplesPerPixel, image.BitsStored) == ("RGB", 3, 8)
    assert not [element for element in image if "Palette" in element.keyword]


def test_what_was_true_of_the_source_alone_is_left_behind(tmp_path: Path) -> None:
    icon = Dataset()
    icon.Rows = 1
    source = dicom(
        SMALL, "CR", IconImageSequence=[icon], SmallestImagePixelValue=0, LargestImagePixelValue=34,
        SmallestPixelValueInSeries=0, LargestPixelValueInSeries=40, WindowCenter=20, WindowWidth=30,
        PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    source.add_new(0x60000010, "US", 5)
    source.add_new(0x60023000, "OW", b"\0\0")
    source.add_new(0x50000010, "US", 1)
    image = written(tmp_path, source, finer(SMALL))
    gone = ("IconImageSequence", "SmallestImagePixelValue", "LargestImagePixelValue")
    assert not [keyword for keyword in (*gone, "SmallestPixelValueInSeries") if keyword in image]
    assert not [element.tag for element in image if element.tag.group & 0xFF00 in (0x5000, 0x6000)]
    assert (image.WindowCenter, image.WindowWidth, image.PhotometricInterpretation) == (20, 30, "MONOCHROME1")
    assert "IconImageSequence" in source


@pytest.mark.parametrize(("value", "syntax"), [("01", uid.ExplicitVRLittleEndian), ("00", uid.JPEGBaseline8Bit)])
def test_what_was_lost_once_stays_declared_lost(value: str, syntax: uid.UID) -> None:
    source = dicom(SMALL.astype(np.uint8), "US", LossyImageCompression=value)
    source.file_meta.TransferSyntaxUID = syntax
    assert derive(source, finer(SMALL.astype(np.uint8)), 2, "sr-generator", "3").LossyImageCompression == "01"


def test_big_endian_tables_are_turned_round(tmp_path: Path) -> None:
    table, shown = Dataset(), np.array([1, 2, 770], ">u2")
    table.LUTDescriptor, table.LUTExplanation = [3, 0, 16], "drawn"
    table.add_new("LUTData", "OW", shown.tobytes())
    source = dicom(SMALL.astype(">u2"), "CR", VOILUTSequence=[table])
    source.BitsAllocated, source.BitsStored, source.HighBit = 16, 16, 15
    source.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    dcmwrite(tmp_path / "big.dcm", source, enforce_file_format=True)
    image = written(tmp_path, dcmread(tmp_path / "big.dcm"), finer(SMALL))
    data = image.VOILUTSequence[0]["LUTData"]
    assert np.frombuffer(data.value, "<u2").tolist() == shown.tolist()


def test_every_obstacle_is_named_at_once() -> None:
    source = dicom(SMALL, "CT", SOPInstanceUID="999.1", SOPClassUID=uid.SegmentationStorage, BitsAllocated=1)
    del source.PixelData
    found = " ".join(obstacles(source, 20000))
    for part in (
        "valid SOP Instance UID",
        "Segmentation Storage",
        "Pixel Data",
        "bits allocated",
        "65535 rows and columns",
    ):
        assert part in found


def test_a_supplemental_palette_is_refused() -> None:
    source = dicom(SMALL, "CT", RedPaletteColorLookupTableDescriptor=[256, 0, 16])
    assert "supplemental palette" in " ".join(obstacles(source, 2))


def test_a_result_of_more_bytes_than_an_element_holds_is_refused() -> None:
    assert "bytes of pixels" in " ".join(obstacles(dicom(SMALL, "CT", NumberOfFrames=10**8), 2))


@pytest.mark.parametrize("stored", [np.zeros((5, 7), np.uint16), np.zeros((10, 14)), np.zeros((10, 14), ">u2")])
def test_pixels_that_do_not_fit_are_refused(stored: NDArray[Any]) -> None:
    with pytest.raises(StepError, match="expected"):
        derive(dicom(SMALL, "CT"), stored, 2, "sr-generator", "3")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    image = derive(dicom(SMALL, "CT"), finer(SMALL), 2, "sr-generator", "3")
    image.StudyTime = object()
    with pytest.raises((TypeError, AttributeError, ValueError)):
        save(image, tmp_path / "out.dcm")
    assert list(tmp_path.iterdir()) == []
