"""What JPEG streams carry beside their picture, with every real stream that comes with pydicom."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from components.dicom.jpeg_segments import without_messages
from tests.drawing import shapes

SECRET = b"patient Meier, Anna"
FOLDERS = (Path(str(files("data_store"))) / "data", Path(str(files(pydicom))) / "data" / "test_files")

BROKEN = ("JPEG-lossy.dcm",)  # 12 bits that its header calls 8


def jpeg(colour: bool = False, **options: object) -> bytes:
    grey = (shapes(24, 40) * 255).astype(np.uint8)
    stream = BytesIO()
    Image.fromarray(np.dstack([grey, grey // 2, 255 - grey]) if colour else grey).save(stream, "JPEG", **options)
    return stream.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


def put_in(stream: bytes, *segments: bytes) -> bytes:
    """`stream` with segments behind its start marker."""
    return stream[:2] + b"".join(segments) + stream[2:]


def decoded(stream: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(stream)))


def real_images() -> Iterator[pydicom.FileDataset]:
    for path in sorted(path for folder in FOLDERS for path in folder.glob("*.dcm")):
        image = dcmread(path, force=True)
        of_jpeg = image.file_meta.get("TransferSyntaxUID") in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes)
        if of_jpeg and "PixelData" in image and path.name not in BROKEN:
            yield image


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"colour": True}], ids=str)
def test_comments_and_application_segments_go_and_the_picture_stays(options: dict[str, object]) -> None:
    plain = jpeg(**options)
    exif = segment(0xE1, b"Exif\0\0" + SECRET)
    other = [segment(marker, SECRET) for marker in (0xE2, 0xEC, 0xED, 0xEF, 0xFE)]
    cleaned = without_messages(put_in(plain, exif, *other))
    assert SECRET not in cleaned and b"Exif" not in cleaned
    assert cleaned == without_messages(plain)
    np.testing.assert_array_equal(decoded(cleaned), decoded(plain))


def test_a_comment_between_scans_goes() -> None:
    stream = jpeg(progressive=True)
    second = stream.index(b"\xff\xda", stream.index(b"\xff\xda") + 2)
    assert without_messages(stream[:second] + segment(0xFE, SECRET) + stream[second:]) == without_messages(stream)


@pytest.mark.parametrize("behind", [SECRET, b"\0" * 64, b"\xff\xd8" + SECRET])
def test_the_stream_ends_with_its_end_marker(behind: bytes) -> None:
    assert without_messages(jpeg() + behind) == without_messages(jpeg())


def test_what_decoders_need_for_colour_is_cut_to_what_the_standards_define() -> None:
    stream = jpeg(colour=True)
    jfif = stream.index(b"JFIF") - 4
    length = int.from_bytes(stream[jfif + 2 : jfif + 4]) + 2
    thumbnail = segment(0xE0, stream[jfif + 4 : jfif + 16] + b"\x01\x06" + SECRET[:18])
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + SECRET)
    cleaned = without_messages(stream[:jfif] + thumbnail + adobe + stream[jfif + length :])
    assert stream[jfif : jfif + length] in cleaned
    assert segment(0xEE, b"Adobe\0\x64\0\0\0\0\1") in cleaned
    assert SECRET[:6] not in cleaned
    np.testing.assert_array_equal(decoded(cleaned), decoded(put_in(stream, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"))))


@pytest.mark.parametrize("marker", [0xC4, 0xDB])
def test_a_table_that_holds_more_than_a_table_is_refused(marker: int) -> None:
    stream = jpeg()
    at = stream.index(bytes((0xFF, marker)))
    length = int.from_bytes(stream[at + 2 : at + 4])
    longer = segment(marker, stream[at + 4 : at + 2 + length] + SECRET)
    with pytest.raises(ValueError, match="holds other bytes"):
        without_messages(stream[:at] + longer + stream[at + 2 + length :])


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_stream_is_refused(share: float) -> None:
    stream = jpeg()
    with pytest.raises(ValueError, match="truncated"):
        without_messages(stream[: int(len(stream) * share)])


@pytest.mark.parametrize("stream", [b"", b"MZ", SECRET, b"\xff\xd8" + SECRET])
def test_what_is_no_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match=r"JPEG"):
        without_messages(stream)


def test_every_real_image_decodes_to_the_same_values_without_a_comment() -> None:
    images = list(real_images())
    assert {image.file_meta.TransferSyntaxUID.name.split(" (")[0] for image in images} >= {
        "JPEG Baseline", "JPEG Extended", "JPEG-LS Lossless Image Compression",
        "JPEG-LS Lossy", "JPEG Lossless, Non-Hierarchical, First-Order Prediction",
    }  # fmt: skip
    for image in images:
        before = list(iter_pixels(image, raw=True))
        streams = list(generate_frames(image.PixelData, number_of_frames=int(image.get("NumberOfFrames") or 1)))
        cleaned = [without_messages(put_in(stream, segment(0xFE, SECRET))) for stream in streams]
        assert SECRET not in b"".join(cleaned)
        image.PixelData = encapsulate(cleaned)
        np.testing.assert_array_equal(list(iter_pixels(image, raw=True)), before)
