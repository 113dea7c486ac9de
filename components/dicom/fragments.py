"""Pixel data that lies otherwise in its file than the transfer syntax says (PS3.5 8.2 and A.4).

Fragments under a syntax of native pixels are put together where it is certain that they hold native pixels.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.pixels.utils import get_expected_length
from pydicom.tag import BaseTag
from pydicom.uid import UID

from components.imaging.decoding import REMEDY, FaultyFile, library

PIXEL_DATA = BaseTag(0x7FE00010)
UNDEFINED = 0xFFFFFFFF
ITEM = {"<": b"\xfe\xff\x00\xe0", ">": b"\xff\xfe\xe0\x00"}  # the tag (FFFE,E000) by byte order
COMPRESSED = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")  # JPEG and JPEG-LS, JPEG 2000, JP2
RLE_OFFSET = (64).to_bytes(4, "little")  # where the first segment of an RLE frame begins (PS3.5 G.5)


def settle_fragments(dataset: Dataset) -> None:
    """Makes Pixel Data lie as the transfer syntax of `dataset` says, in place; what was left in the file stays there.

    Raises `FaultyFile` where native pixels stand under an encapsulated syntax, or fragments under a native one that
    may hold anything else than native pixels.
    """
    if PIXEL_DATA not in dataset:
        return
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if syntax.is_encapsulated:
        if not _in_fragments(dataset, "<"):
            raise FaultyFile(
                f"Pixel Data {PIXEL_DATA}: expected fragments, because the transfer syntax is {syntax.name}, found "
                "bytes without them. Correct the Transfer Syntax UID (0002,0010), or leave the file out"
            )
        return
    order = "<" if syntax.is_little_endian else ">"
    if _in_fragments(dataset, order):
        vr = "OW" if dataset.BitsAllocated > 8 else "OB"
        dataset[PIXEL_DATA] = DataElement(PIXEL_DATA, vr, _native(dataset, order, syntax))


def _in_fragments(dataset: Dataset, order: str) -> bool:
    """Whether item headers stand in the pixel data. Of what was left in the file, only its length is looked at."""
    read: Any = dataset.get_item(PIXEL_DATA, keep_deferred=True)
    if isinstance(read, RawDataElement) and read.value is None and read.length:
        return read.length == UNDEFINED or read.length > _expected(dataset) + 1
    with library("Pixel Data (7FE0,0010) cannot be read"):
        element = dataset[PIXEL_DATA]
    if not isinstance(element.value, bytes):
        raise FaultyFile(f"Pixel Data {PIXEL_DATA}: expected bytes (VR OB or OW), found none. {REMEDY}")
    if element.is_undefined_length:
        return True
    compressed = UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated
    content = element.value
    native = not compressed and len(content) - _expected(dataset) in (0, 1)
    return not native and content.startswith(ITEM[order])


def _native(dataset: Dataset, order: str, syntax: UID) -> bytes:
    """The bytes of all frames, without item headers."""
    expected, frames = _expected(dataset), int(dataset.get("NumberOfFrames") or 1)
    with library(f"Pixel Data {PIXEL_DATA} lies in fragments that cannot be read"):
        content = BytesIO(dataset[PIXEL_DATA].value)
        parse_basic_offsets(content, endianness=order)
        fragments = list(generate_fragments(content, endianness=order))
    of_a_frame = expected // frames
    if len(fragments) == frames and all(len(part) in (of_a_frame, of_a_frame + 1) for part in fragments):
        fragments = [part[:of_a_frame] for part in fragments]  # each was filled up to an even length
    native = b"".join(fragments)
    if len(native) not in (expected, expected + expected % 2) or _looks_compressed(fragments[0]):
        raise FaultyFile(
            f"Pixel Data {PIXEL_DATA}: expected {expected} bytes of native pixels, because the transfer syntax is "
            f"{syntax.name}, found fragments of {len(native)} bytes that may be compressed. Correct the Transfer "
            "Syntax UID (0002,0010), or leave the file out"
        )
    return native + b"\0" * (len(native) % 2)


def _looks_compressed(stream: bytes) -> bool:
    segments = int.from_bytes(stream[:4], "little")
    return stream.startswith(COMPRESSED) or (1 <= segments <= 15 and stream[4:8] == RLE_OFFSET)


def _expected(dataset: Dataset) -> int:
    with library("the length of its pixels cannot be told"):
        return get_expected_length(dataset, "bytes")
