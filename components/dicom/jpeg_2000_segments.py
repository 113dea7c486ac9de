"""Takes everything out of a JPEG 2000 or HTJ2K stream that does not belong to its picture.

Comments (COM) stand in the main header and in the headers of tile-parts. Where a stream lies in the boxes of a JP2
file, other boxes can hold text, XML or whole headers. They are dropped; packets stay byte for byte, so that the decoded
values stay the same. Follows ITU T.800 annex A (codestream) and annex I (JP2), and T.814 (HTJ2K).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

START, TILE_PART, DATA, END = b"\xff\x4f", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
COMMENT, TILE_LENGTHS = b"\xff\x64", b"\xff\x55"
# SIZ, COD, COC, RGN, QCD, QCC, POC, PPM, PLM, PPT, PLT, CRG, TLM; CAP, PRF and CPF of HTJ2K
NEEDED = {bytes((0xFF, second)) for second in b"\x51\x52\x53\x5e\x5c\x5d\x5f\x60\x57\x61\x58\x63\x55\x50\x56\x59"}
TILE_PART_BYTES = 12
SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
FILE_TYPE = b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 "
HEADER_BOXES = {b"ihdr": 14, b"bpcc": None, b"pclr": None, b"cmap": None, b"cdef": None}  # their bytes, if fixed
ENUMERATED_COLOUR = 7  # bytes of a colour specification that names a colour space

Segment = tuple[bytes, bytes]  # marker, and what follows it from its length on


def without_messages(stream: bytes) -> bytes:
    """The stream with the segments and boxes alone that a decoder needs; Psot, TLM and box lengths are corrected.

    Colour profiles (ICC) go too, because they hold text. Raises `ValueError` where the stream is truncated, or has a
    marker whose content cannot be accounted for.
    """
    if stream.startswith(SIGNATURE):
        return b"".join((SIGNATURE, FILE_TYPE, *_picture_boxes(stream)))
    return _codestream(stream)


def _codestream(stream: bytes) -> bytes:
    if stream[:2] != START:
        raise ValueError("no JPEG 2000 stream: expected the marker FF4F at its start")
    header, at = _segments(stream, len(START), TILE_PART)
    tile_parts = []
    while stream[at : at + 2] == TILE_PART:
        part, at = _tile_part(stream, at)
        tile_parts.append(part)
    if not (stream[at : at + 2] == END or (tile_parts and not any(stream[at:]))):
        raise ValueError(f"broken: expected a tile-part or the end of the JPEG 2000 stream at byte {at}, found neither")
    lengths = iter([len(part) for part in tile_parts])
    kept = [marker + (_lengths(segment, lengths) if marker == TILE_LENGTHS else segment) for marker, segment in header]
    return b"".join((START, *kept, *tile_parts, END))


def _segments(stream: bytes, at: int, until: bytes) -> tuple[list[Segment], int]:
    """The segments that stay, from `at` to the marker `until`, and where that stands."""
    kept = []
    while (marker := stream[at : at + 2]) != until:
        length = int.from_bytes(stream[at + 2 : at + 4])
        if len(marker) < 2 or length < 2 or at + 2 + length > len(stream):
            raise ValueError(f"truncated: its JPEG 2000 header ends at byte {at}")
        if marker not in NEEDED and marker != COMMENT:
            raise ValueError(
                f"its JPEG 2000 marker {marker.hex().upper()} is none that the standard defines. "
                "Compress the image anew."
            )
        if marker != COMMENT:
            kept.append((marker, stream[at + 2 : at + 2 + length]))
        at += 2 + length
    return kept, at


def _tile_part(stream: bytes, begin: int) -> tuple[bytes, int]:
    """A tile-part without comments, and where the next one stands; without a length it reaches to the end (A.4.2)."""
    start = stream[begin : begin + TILE_PART_BYTES]
    if len(start) < TILE_PART_BYTES:
        raise ValueError("truncated: a JPEG 2000 tile-part ends inside its header")
    length = int.from_bytes(start[6:10])
    end = begin + length if length else stream.rfind(END)
    header, data = _segments(stream, begin + TILE_PART_BYTES, DATA)
    if not data < end <= len(stream):
        raise ValueError(f"truncated: a JPEG 2000 tile-part of {length} bytes, {len(stream) - begin} are there")
    rest = b"".join((*(marker + segment for marker, segment in header), stream[data:end]))
    said = TILE_PART_BYTES + len(rest) if length else 0
    return start[:6] + struct.pack(">I", said) + start[10:] + rest, end


def _lengths(segment: bytes, lengths: Iterator[int]) -> bytes:
    """The table of tile-part lengths (TLM, A.7.1) with those that they have now."""
    index_bytes, length_bytes = segment[3] >> 4 & 3, 4 if segment[3] & 0x40 else 2
    entry = index_bytes + length_bytes
    if (len(segment) - 4) % entry:
        raise ValueError("broken: its table of JPEG 2000 tile-parts has no whole number of entries")
    entries = []
    for at in range(4, len(segment), entry):
        length = next(lengths, None)
        if length is None:
            raise ValueError("broken: its table of JPEG 2000 tile-parts has more entries than there are tile-parts")
        entries.append(segment[at : at + index_bytes] + length.to_bytes(length_bytes))
    return segment[:4] + b"".join(entries)


def _picture_boxes(stream: bytes) -> Iterator[bytes]:
    for kind, content in _boxes(stream):
        if kind == b"jp2h":
            inside = b"".join(_box(*box) for box in _boxes(content) if _describes_pixels(*box))
            yield _box(kind, inside)
        elif kind == b"jp2c":
            yield _box(kind, _codestream(content))


def _describes_pixels(kind: bytes, content: bytes) -> bool:
    if kind == b"colr":
        return content[:1] == b"\1" and len(content) == ENUMERATED_COLOUR
    size = HEADER_BOXES.get(kind, 0)
    return size is None or len(content) == size


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, kind, begin = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], at + 8
        if length == 1:  # the length follows in 64 bits
            length, begin = int.from_bytes(data[at + 8 : at + 16]), at + 16
        end = at + length if length else len(data)
        if end < begin or end > len(data):
            raise ValueError(f"truncated: a JP2 box claims {length} bytes, {len(data) - at} are there")
        yield kind, data[begin:end]
        at = end


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content
