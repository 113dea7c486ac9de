from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1

from components.dicom.frames import frame_values, is_lossy, padding_mask, pixel_bits, stored_frame, stored_frames
from components.dicom.read import open_dicom, read_dicom
from components.imaging.decoding import BROKEN, UnreadableImage
from tests.drawing import dicom, write_dicom


def test_padding_takes_the_lowest_real_value_and_not_its_own() -> None:
    stored = np.array([[-2000, 0], [100, 200]], np.int16)
    image = dicom(stored, PixelPaddingValue=-2000)
    values = frame_values(stored, image, 0)
    assert values.tolist() == [[-1024.0, -1024.0], [-924.0, -824.0]]


def test_a_padding_range_is_padding_from_end_to_end_also_where_written_unsigned() -> None:
    stored = np.array([[-2000, -1999, -1998, 5]], np.int16)
    image = dicom(stored, PixelPaddingValue=65536 - 2000, PixelPaddingRangeLimit=65536 - 1999)
    assert padding_mask(stored, image).tolist() == [[True, True, False, False]]


@pytest.mark.parametrize(("element", "prefix", "dtype"), [
    ("FloatPixelData", "Float", np.float32), ("DoubleFloatPixelData", "DoubleFloat", np.float64),
])  # fmt: skip
@pytest.mark.parametrize(("value", "last", "padded"), [
    (-5.5, None, [True, False, False, False]), (-5.5, -4.25, [True, True, False, False]),
    (np.nan, None, [False, False, False, True]),
])  # fmt: skip
def test_float_pixels_have_a_padding_of_their_own(
    tmp_path: Path, element: str, prefix: str, dtype: type, value: float, last: float | None, padded: list[bool]
) -> None:
    stored = np.array([[-5.5, -4.5, 1, np.nan if np.isnan(value) else 2]], dtype)
    image = dicom(np.zeros((1, 4), np.uint16), "MR", PixelPaddingValue=1)
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        del image[keyword]
    image.BitsAllocated = stored.itemsize * 8
    setattr(image, element, stored.tobytes())
    setattr(image, f"{prefix}PixelPaddingValue", value)
    if last is not None:
        setattr(image, f"{prefix}PixelPaddingRangeLimit", last)
    assert padding_mask(stored, image).tolist() == [padded]
    image.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    real = stored[~np.array([padded])]
    pixels = read_dicom(tmp_path / "a.dcm").pixels[0]
    np.testing.assert_array_equal(pixels[0], np.where(padded, real.min(), stored[0]).astype(np.float32))


def test_bits_above_those_stored_are_dropped_and_the_sign_kept() -> None:
    unsigned = dicom(np.array([[0xF123]], np.uint16), "MR", BitsStored=12, HighBit=11)
    assert next(stored_frames(unsigned)).tolist() == [[0x123]]
    signed = dicom(np.array([[0x0FFF]], np.int16), "MR", BitsStored=12, HighBit=11)
    assert next(stored_frames(signed)).tolist() == [[-1]]


REAL = Path(str(files("data_store"))) / "data"


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(("high_bit", "signed"), [(15, 0), (15, 1), (13, 0), (12, 1)])
def test_pixel_bits_lie_where_the_high_bit_says(high_bit: int, signed: int) -> None:
    values = np.arange(-2048, 2048, 17)[:240].reshape(12, 20) + (0 if signed else 2048)
    image = dicom((values << (high_bit - 11)).astype("<u2"), BitsStored=12, HighBit=high_bit)
    image.PixelRepresentation = signed
    np.testing.assert_array_equal(next(stored_frames(image)), values)


def test_one_frame_of_a_real_file_is_the_one_that_reading_all_gives() -> None:
    seen = set()
    for path in sorted([*REAL.glob("*.dcm"), *Path(pydicom.data.__file__).with_name("test_files").rglob("*.dcm")]):
        if path.stat().st_size > 300_000:
            continue
        try:
            frames = list(stored_frames(open_dicom(path)))
        except (UnreadableImage, *BROKEN):
            continue
        header = open_dicom(path, by_frame=True)
        for number in (0, len(frames) - 1):
            np.testing.assert_array_equal(pixel_bits(stored_frame(header, number), header), frames[number])
        with pytest.raises(IndexError):
            stored_frame(header, len(frames))
        seen.add(header.file_meta.TransferSyntaxUID)
    assert len(seen) > 8


@pytest.mark.parametrize("changes", [{"BitsStored": 12, "HighBit": 11}, {"PixelRepresentation": 1}, {}])
def test_a_frame_that_lies_plain_in_its_file_is_mapped_and_not_read(tmp_path: Path, changes: dict[str, int]) -> None:
    stored = np.random.default_rng(0).integers(0, 2**16, (3, 200, 300)).astype(np.uint16)
    header = open_dicom(write_dicom(tmp_path / "film.dcm", dicom(stored, "MR", **changes)), by_frame=True)
    frame = stored_frame(header, 2)
    assert isinstance(frame, np.memmap)
    expected = list(stored_frames(open_dicom(tmp_path / "film.dcm")))[2]
    np.testing.assert_array_equal(pixel_bits(frame, header), expected)


def test_frames_come_one_by_one() -> None:
    stored = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    frames = list(stored_frames(dicom(stored, "MR")))
    np.testing.assert_array_equal(np.stack(frames), stored)


@pytest.mark.parametrize(("flag", "lossy"), [("01", True), ("00", False)])
def test_loss_is_told_by_the_flag_or_the_syntax(flag: str, lossy: bool) -> None:
    image = dicom(np.zeros((2, 2), np.uint8), "US", LossyImageCompression=flag)
    assert is_lossy(image) is lossy
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert is_lossy(image)


def test_a_negative_padding_value_counts_for_unsigned_pixels() -> None:
    stored = np.array([[63536, 5]], np.uint16)
    image = dicom(stored, "MR")
    image.add_new("PixelPaddingValue", "SS", -2000)
    assert padding_mask(stored, image).tolist() == [[True, False]]


@pytest.mark.parametrize("frames", [1, 3])
def test_pixels_of_one_bit_share_bytes_with_the_next_frame(tmp_path: Path, frames: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (frames, 5, 7), np.uint8)
    image = dicom(pixels, "MR", BitsAllocated=1, BitsStored=1, HighBit=0)
    packed = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    image.PixelData = packed + b"\0" * (len(packed) % 2)
    path = write_dicom(tmp_path / "a.dcm", image)
    np.testing.assert_array_equal(read_dicom(path).pixels, pixels)
    assert np.array_equal(stored_frame(open_dicom(path, by_frame=True), frames - 1), pixels[-1])
    image.PixelData = packed[: len(packed) // 4 * 2]
    with pytest.raises(UnreadableImage, match="truncated: the header says"):
        read_dicom(write_dicom(tmp_path / "cut.dcm", image))


def jpeg_lossless(stored: NDArray[np.int64], bits: int) -> bytes:
    """`stored`, not below 0, as JPEG of process 14: each pixel's difference from the one before it, codes of 5 bits."""
    before = np.pad(stored, ((0, 0), (1, 0)))[:, :-1]
    before[1:, 0], before[0, 0] = stored[:-1, 0], 1 << bits - 1
    differences, code = (((stored - before + 2**15) % 2**16) - 2**15).ravel().tolist(), ""
    for difference in differences:
        size = abs(difference).bit_length()
        code += f"{size:05b}" + (f"{difference + (difference < 0) * ((1 << size) - 1):0{size}b}" if size else "")
    code += "1" * (-len(code) % 8)
    data = int(code, 2).to_bytes(len(code) // 8).replace(b"\xff", b"\xff\0")
    rows, columns = stored.shape
    header = b"\xff\xc3\0\x0b" + bytes((bits, 0, rows, 0, columns, 1, 1, 0x11, 0))
    codes = b"\xff\xc4" + (2 + 17 + 17).to_bytes(2) + b"\0" + bytes((0, 0, 0, 0, 17)) + bytes(11) + bytes(range(17))
    return b"\xff\xd8" + header + codes + b"\xff\xda\0\x08\1\1\0\1\0\0" + data + b"\xff\xd9"


@pytest.mark.parametrize("bits", [12, 16])
def test_signs_of_jpeg_are_the_highest_bit_stored(tmp_path: Path, bits: int) -> None:
    values = (np.arange(30 * 40).reshape(30, 40) * 2 - 1200).astype(np.int16)
    image = dicom(values, "MR", BitsStored=bits, HighBit=bits - 1, PixelPaddingValue=-1200)
    image.PixelData = encapsulate([jpeg_lossless(values.astype(np.int64) & (1 << bits) - 1, bits)])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    path = write_dicom(tmp_path / "a.dcm", image)
    np.testing.assert_array_equal(next(stored_frames(open_dicom(path))), values)
    assert read_dicom(path).low == -1198, "padding is known by its sign"


@pytest.mark.parametrize("bits", [8, 16])
def test_frames_of_8_bits_are_read_whatever_is_allocated(tmp_path: Path, bits: int) -> None:
    stored, stream = (np.arange(1200).reshape(30, 40) // 5).astype(np.uint8), BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=100)
    image = dicom(stored, "MR", BitsAllocated=16, BitsStored=bits, HighBit=bits - 1)
    image.PixelData = encapsulate([stream.getvalue()])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert np.abs(read_dicom(write_dicom(tmp_path / "a.dcm", image)).pixels[0] - stored).max() < 4
