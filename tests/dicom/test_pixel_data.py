"""What is left in Pixel Data: the pixels, whatever stood beside them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_fragments
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from components.dicom.deidentify import Pseudonyms, deidentify
from components.dicom.pixel_data import keep_pixels_alone
from components.dicom.read import decode
from components.imaging.decoding import UnreadableImage
from tests.dicom.test_jpeg_segments import jpeg
from tests.drawing import dicom, write_dicom

SECRET = b"Meier, Anna "
SALT = Pseudonyms(b"a salt for tests")
LETTERS = (np.arange(99).reshape(9, 11) % 3 == 0).astype(np.uint16)
PIXELS = (np.arange(99).reshape(9, 11) * 41 % 4096).astype(np.uint16)


def with_overlay(dtype: type[np.generic] = np.uint16, frames: int = 1) -> tuple[FileDataset, np.ndarray]:
    """12 bits of 16, an overlay in bit 12 and rubbish in bit 15; and the pixels alone."""
    pixels = PIXELS.astype(np.int32) - (2048 if dtype is np.int16 else 0)
    stored = (pixels & 0xFFF | LETTERS.astype(np.int32) << 12 | (1 - LETTERS.astype(np.int32)) << 15).astype(np.uint16)
    pixels, stored = (np.stack([a] * frames) if frames > 1 else a for a in (pixels, stored))
    return dicom(stored.view(dtype), "MR", BitsStored=12, HighBit=11), pixels.astype(dtype)


def encode_with_all_bits(image: FileDataset, stored: np.ndarray) -> None:
    """RLE, which pydicom refuses to write for bits that no pixel uses."""
    bits, image.BitsStored = image.BitsStored, 16
    image.compress(RLELossless, stored, generate_instance_uid=False)
    image.BitsStored = bits


def written(image: FileDataset, folder: Path) -> FileDataset:
    return dcmread(write_dicom(folder / "out.dcm", deidentify(image, SALT)))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("frames", [1, 3])
def test_bits_that_no_pixel_uses_are_cleared_and_signs_extended(
    tmp_path: Path, dtype: type[np.generic], frames: int
) -> None:
    image, pixels = with_overlay(dtype, frames)
    after = written(image, tmp_path)
    assert after.PixelData[: pixels.nbytes] == pixels.tobytes()
    np.testing.assert_array_equal(after.pixel_array, pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_bits_below_the_pixel_are_cleared_too(syntax: UID) -> None:
    stored = (PIXELS << 4 | LETTERS | 2).astype(np.uint16)
    image = dicom(stored, "MR", BitsStored=12, HighBit=15)
    if syntax == RLELossless:
        encode_with_all_bits(image, stored)
    keep_pixels_alone(image)
    assert image.HighBit == 11
    np.testing.assert_array_equal(list(iter_pixels(image, raw=True)), [PIXELS])
    np.testing.assert_array_equal(decode(image, "a").pixels, [PIXELS])


@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_in_every_syntax_that_stores_bits_as_they_are(tmp_path: Path, syntax: str, dtype: type[np.generic]) -> None:
    image, pixels = with_overlay(dtype)
    stored = np.frombuffer(image.PixelData, dtype, pixels.size).reshape(pixels.shape)
    if syntax == RLELossless:
        encode_with_all_bits(image, stored)
    elif syntax == ExplicitVRBigEndian:
        image.set_original_encoding(False, False)
        image.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
        image["PixelData"].VR = "OW"
    image.file_meta.TransferSyntaxUID = syntax
    after = written(dcmread(write_dicom(tmp_path / "in.dcm", image)), tmp_path)
    np.testing.assert_array_equal(after.pixel_array, pixels)


def test_full_width_pixels_stay_byte_for_byte() -> None:
    for stored in (PIXELS, PIXELS.astype(np.uint8)):
        image = dicom(stored, "MR")
        before = image.PixelData
        keep_pixels_alone(image)
        assert image.PixelData == before + b"\0" * (len(before) % 2)


def test_bits_behind_the_last_pixel_of_a_bitmap_are_cleared() -> None:
    image = dicom(np.zeros((3, 3), np.uint8), "MR", BitsAllocated=1, BitsStored=1, HighBit=0)
    image.PixelData = b"\xff\xff"
    keep_pixels_alone(image)
    assert image.PixelData == b"\xff\x01"


def test_a_high_bit_that_cannot_be_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="High Bit: expected 11 to 15"):
        deidentify(dicom(PIXELS, "MR", BitsStored=12, HighBit=5), SALT)


@pytest.mark.parametrize("stored", [PIXELS, PIXELS.astype(np.uint8), np.dstack([PIXELS.astype(np.uint8)] * 3)])
def test_native_pixels_end_with_the_last_pixel(tmp_path: Path, stored: np.ndarray) -> None:
    image = dicom(stored, "MR")
    image.PixelData += SECRET * 3 + b"\0" * (len(image.PixelData) % 2)
    after = written(image, tmp_path)
    assert after.PixelData == stored.tobytes() + b"\0" * (stored.nbytes % 2)
    assert SECRET not in (tmp_path / "out.dcm").read_bytes()


def test_floating_point_pixels_end_with_the_last_pixel(tmp_path: Path) -> None:
    image = dicom(PIXELS, "MR")
    del image.PixelData
    image.BitsAllocated = 32
    image.FloatPixelData = PIXELS.astype(np.float32).tobytes() + SECRET
    assert written(image, tmp_path).FloatPixelData == PIXELS.astype(np.float32).tobytes()


def test_a_colour_table_ends_with_its_last_entry() -> None:
    image = dicom(PIXELS.astype(np.uint8), "MR")
    image.RedPaletteColorLookupTableDescriptor = [4, 0, 16]
    image.RedPaletteColorLookupTableData = bytes(range(8)) + SECRET
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4, 0, 16], bytes(range(8)) + SECRET
    image.ModalityLUTSequence = [item]
    keep_pixels_alone(image)
    assert image.RedPaletteColorLookupTableData == image.ModalityLUTSequence[0].LUTData == bytes(range(8))


@pytest.mark.parametrize(
    "keyword",
    [
        "RedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData", "LUTData",
        "AlphaPaletteColorLookupTableData", "LargeRedPaletteColorLookupTableData", "ExtendedOffsetTable",
    ],
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_a_table_that_nothing_describes_goes(keyword: str, nested: bool) -> None:
    image = dicom(PIXELS, "MR", VOILUTSequence=[Dataset()])
    setattr(image.VOILUTSequence[0] if nested else image, keyword, b"to Erika")
    cleaned = deidentify(image, SALT)
    assert keyword not in cleaned and keyword not in cleaned.VOILUTSequence[0]


def compressed(*fragments: bytes, **attributes: object) -> FileDataset:
    image = dicom(np.zeros((24, 40), np.uint8), "CR", **attributes)
    image.PixelData, image.file_meta.TransferSyntaxUID = encapsulate(list(fragments)), JPEGBaseline8Bit
    image["PixelData"].is_undefined_length = True
    return image


def test_fragments_beyond_the_frames_and_comments_go(tmp_path: Path) -> None:
    plain = jpeg()
    image = compressed(plain, jpeg(comment=SECRET), SECRET, NumberOfFrames=2)
    after = written(image, tmp_path)
    assert len(list(generate_fragments(after.PixelData))) == 1 + 2  # the offset table is the first
    assert SECRET.strip() not in (tmp_path / "out.dcm").read_bytes()
    expected = decode(compressed(plain, plain, NumberOfFrames=2), "a").pixels
    np.testing.assert_array_equal(decode(after, "a").pixels, expected)


def test_offset_tables_fit_the_frames_as_they_are_then(tmp_path: Path) -> None:
    plain = [jpeg(), jpeg(quality=30), jpeg(quality=95)]
    image = compressed(*plain, NumberOfFrames=3)
    expected = decode(image, "a").pixels
    spoken = [jpeg(comment=SECRET), jpeg(quality=30), jpeg(quality=95, comment=SECRET)]
    data, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = encapsulate_extended(spoken)
    image.PixelData = data
    after = written(image, tmp_path)
    assert "ExtendedOffsetTable" not in after
    np.testing.assert_array_equal(decode(after, "a").pixels, expected)
    np.testing.assert_array_equal(after.pixel_array[2], expected[2])


def test_rle_holds_no_bytes_but_its_segments(tmp_path: Path) -> None:
    image = dicom(np.stack([PIXELS] * 2), "MR")
    image.compress(RLELossless, generate_instance_uid=False)
    frames = [frame + SECRET for frame in generate_fragments(image.PixelData) if frame][1:]
    image.PixelData = encapsulate(frames)
    after = written(image, tmp_path)
    assert SECRET not in (tmp_path / "out.dcm").read_bytes()
    np.testing.assert_array_equal(after.pixel_array, np.stack([PIXELS] * 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_rle_in_colour_and_of_any_depth_keeps_its_values(tmp_path: Path, dtype: type[np.generic]) -> None:
    names = {np.uint8: "SC_rgb_rle_2frame", np.uint16: "SC_rgb_rle_16bit_2frame", np.uint32: "SC_rgb_rle_32bit_2frame"}
    image = dcmread(Path(str(files(pydicom))) / "data" / "test_files" / f"{names[dtype]}.dcm")
    np.testing.assert_array_equal(written(image, tmp_path).pixel_array, image.pixel_array)


def test_streams_that_cannot_be_searched_are_refused() -> None:
    image = compressed(jpeg())
    image.file_meta.TransferSyntaxUID = MPEG2MPML
    with pytest.raises(UnreadableImage, match="cannot be searched for text"):
        deidentify(image, SALT)
    image.file_meta.TransferSyntaxUID = "1.2.3.4"
    with pytest.raises(UnreadableImage, match="Transfer Syntax UID: expected one that the standard defines"):
        deidentify(image, SALT)


def test_truncated_pixels_stay_for_the_decoder_to_refuse() -> None:
    image = dicom(PIXELS, "MR")
    image.PixelData = image.PixelData[:20]
    keep_pixels_alone(image)
    assert len(image.PixelData) == 20


@pytest.mark.parametrize("said", [None, 2])
def test_more_frames_than_the_header_says_are_told_and_not_dropped(said: int | None) -> None:
    image = dicom(np.stack([PIXELS] * 3), "MR", NumberOfFrames=said)
    with pytest.raises(UnreadableImage, match=r"Number of Frames \(0028,0008\): expected . frames?, .* of 3. Correct"):
        deidentify(image, SALT)
