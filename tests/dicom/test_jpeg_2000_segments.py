"""What JPEG 2000 streams carry beside their picture, with every real stream that comes with pydicom."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import openjpeg
import pydicom
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import JPEG2000TransferSyntaxes

from components.dicom.jpeg_2000_segments import without_messages
from tests.drawing import shapes

SECRET = b"patient Meier, Anna"
COMMENT = b"\xff\x64" + struct.pack(">HH", len(SECRET) + 4, 1) + SECRET
FOLDERS = (Path(str(files("data_store"))) / "data", Path(str(files(pydicom))) / "data" / "test_files")
BROKEN = ("JPEG2000-embedded-sequence-delimiter.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm")


def jpeg_2000(**options: object) -> bytes:
    grey = (shapes(70, 90) * 255).astype(np.uint8)
    stream = BytesIO()
    settings = {"no_jp2": True, "irreversible": False, **options}
    Image.fromarray(np.dstack([grey, grey // 2, 255 - grey])).save(stream, "JPEG2000", **settings)
    return stream.getvalue()


def decoded(stream: bytes) -> np.ndarray:
    return openjpeg.decode(stream)


def with_tile_comments(stream: bytes) -> bytes:
    """A comment in the header of every tile-part, the lengths of the tile-parts corrected."""
    at, parts = stream.index(b"\xff\x90"), []
    header = stream[:at]
    while stream[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(stream[at + 6 : at + 10])
        start = stream[at : at + 6] + struct.pack(">I", length + len(COMMENT)) + stream[at + 10 : at + 12]
        parts.append(start + COMMENT + stream[at + 12 : at + length])
        at += length
    return header + b"".join(parts) + stream[at:]


def with_table_of_lengths(stream: bytes) -> bytes:
    at, lengths = stream.index(b"\xff\x90"), []
    first = at
    while stream[at : at + 2] == b"\xff\x90":
        lengths.append(int.from_bytes(stream[at + 6 : at + 10]))
        at += lengths[-1]
    table = b"".join(struct.pack(">BI", tile, length) for tile, length in enumerate(lengths))
    return stream[:first] + b"\xff\x55" + struct.pack(">HBB", 4 + len(table), 0, 0x50) + table + stream[first:]


@pytest.mark.parametrize("options", [{}, {"tile_size": (32, 32)}, {"num_resolutions": 2}], ids=str)
def test_comments_go_from_every_header_and_the_picture_stays(options: dict[str, object]) -> None:
    stream = jpeg_2000(comment=SECRET, **options)
    assert SECRET in stream
    cleaned = without_messages(with_tile_comments(stream))
    assert SECRET not in cleaned and b"\xff\x64" not in cleaned.partition(b"\xff\x90")[0]
    assert cleaned == without_messages(stream)
    np.testing.assert_array_equal(decoded(cleaned), decoded(stream))


def test_a_table_of_tile_part_lengths_says_the_lengths_as_they_are_then() -> None:
    stream = jpeg_2000(tile_size=(32, 32))
    cleaned = without_messages(with_table_of_lengths(with_tile_comments(stream)))
    assert cleaned == without_messages(with_table_of_lengths(stream))
    np.testing.assert_array_equal(decoded(cleaned), decoded(stream))


def test_a_tile_part_without_a_length_reaches_to_the_end() -> None:
    stream = jpeg_2000()
    at = stream.index(b"\xff\x90")
    open_ended = stream[: at + 6] + b"\0\0\0\0" + stream[at + 10 :]
    np.testing.assert_array_equal(decoded(without_messages(open_ended)), decoded(stream))


@pytest.mark.parametrize("behind", [SECRET, b"\0" * 64, COMMENT])
def test_the_stream_ends_with_its_end_marker(behind: bytes) -> None:
    assert without_messages(jpeg_2000() + behind) == without_messages(jpeg_2000())


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def test_of_a_jp2_file_the_picture_stays_alone() -> None:
    stream = jpeg_2000(no_jp2=False, comment=SECRET)
    first = stream.index(b"ftyp") - 4
    cleaned = without_messages(stream[:first] + box(b"uuid", SECRET) + stream[first:] + box(b"xml ", SECRET))
    assert SECRET not in cleaned
    assert cleaned == without_messages(stream)
    np.testing.assert_array_equal(decoded(cleaned), decoded(stream))


def test_a_truncated_stream_and_an_unknown_marker_are_refused() -> None:
    stream = jpeg_2000()
    for share in (0.01, 0.3, 0.9):
        with pytest.raises(ValueError, match="truncated"):
            without_messages(stream[: int(len(stream) * share)])
    at = stream.index(b"\xff\x90")
    with pytest.raises(ValueError, match="FF6F is none"):
        without_messages(stream[:at] + b"\xff\x6f" + COMMENT[2:] + stream[at:])
    with pytest.raises(ValueError, match="no JPEG 2000 stream"):
        without_messages(SECRET)


def real_images() -> Iterator[pydicom.FileDataset]:
    for path in sorted(path for folder in FOLDERS for path in folder.glob("*.dcm")):
        image = dcmread(path, force=True)
        of_jpeg_2000 = image.file_meta.get("TransferSyntaxUID") in JPEG2000TransferSyntaxes
        if of_jpeg_2000 and "PixelData" in image and path.name not in BROKEN:
            yield image


def with_comment(stream: bytes) -> bytes:
    """A comment behind the first segment (SIZ); one image lies in the boxes of a JP2 file and has its own."""
    at = 4 + int.from_bytes(stream[4:6])
    return stream[:at] + COMMENT + stream[at:] if stream.startswith(b"\xff\x4f") else stream


def test_every_real_image_decodes_to_the_same_values_without_a_comment() -> None:
    images = list(real_images())
    assert len(images) > 10
    for image in images:
        before = list(iter_pixels(image, raw=True))
        streams = list(generate_frames(image.PixelData, number_of_frames=int(image.get("NumberOfFrames") or 1)))
        spoken = [with_comment(stream) for stream in streams]
        cleaned = [without_messages(stream) for stream in spoken]
        assert SECRET not in b"".join(cleaned)
        image.PixelData = encapsulate(cleaned)
        np.testing.assert_array_equal(list(iter_pixels(image, raw=True)), before)
