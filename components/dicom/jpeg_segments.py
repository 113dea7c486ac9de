"""Takes everything out of a JPEG or JPEG-LS stream that does not belong to its picture.

Comments (COM) and application segments (APPn) can hold names, a thumbnail, or a whole header of a camera. They are
dropped; the tables and the entropy-coded data stay byte for byte, so that the decoded values stay the same.
Follows ITU T.81 annex B (JPEG), T.87 annex C (JPEG-LS) and T.871 (JFIF).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN, JPEG_LS, COMMENT = 0xDA, 0xF7, 0xFE
HUFFMAN, QUANTISATION, PRESETS = 0xC4, 0xDB, 0xF8
FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, JPEG_LS)
FIXED = {0xDD: 4, 0xDC: 4}  # restart interval, number of lines: the bytes that they have
ARITHMETIC = 0xCC
APPLICATION = range(0xE0, 0xF0)
# what ends entropy-coded data: in JPEG all but a stuffed zero and restart markers, in JPEG-LS bytes from 0x80 on
NEXT_MARKER = re.compile(rb"\xff+(?=[\x01-\xcf\xd8-\xfe])")
NEXT_MARKER_LS = re.compile(rb"\xff+(?=[\x80-\xcf\xd8-\xfe])")


def without_messages(stream: bytes) -> bytes:
    """The stream from its start to its end marker, with the segments alone that a decoder needs.

    Of the application segments these stay, cut to the bytes that the standards define: JFIF without its thumbnail,
    Adobe's colour transform (APP14) and the colour transform of JPEG-LS (`mrfx`, APP8). Raises `ValueError` where the
    stream is truncated, or has a segment whose content cannot be accounted for.
    """
    if stream[:2] != START:
        raise ValueError("no JPEG stream: expected the marker FFD8 at its start")
    return b"".join((START, *_kept_parts(stream), END))


def _kept_parts(stream: bytes) -> Iterator[bytes]:
    at, next_marker = len(START), NEXT_MARKER
    while True:
        marker, at = _marker(stream, at)
        if marker == END[1]:
            return
        length = int.from_bytes(stream[at : at + 2])
        if length < 2 or at + length > len(stream):
            raise ValueError(f"broken or truncated: its JPEG segment FF{marker:02X} claims {length} bytes")
        segment = _kept(marker, stream[at : at + length])
        at += length
        if segment:
            yield bytes((0xFF, marker)) + segment
        if marker == JPEG_LS:
            next_marker = NEXT_MARKER_LS
        if marker == SCAN:
            end = next_marker.search(stream, at)
            if end is None:
                raise ValueError("truncated: its JPEG data end without an end marker")
            yield stream[at : end.start()]
            at = end.start()


def _marker(stream: bytes, at: int) -> tuple[int, int]:
    """The marker at `at`, and where its segment begins; fill bytes may stand before it (T.81 B.1.1.2)."""
    first = at
    while stream[at : at + 1] == b"\xff":
        at += 1
    if at >= len(stream):
        raise ValueError("truncated: its JPEG stream ends without an end marker")
    if at == first:
        raise ValueError(f"broken: expected a JPEG marker at byte {first}, found none")
    return stream[at], at + 1


def _kept(marker: int, segment: bytes) -> bytes:
    """What stays of a segment, from its length on; empty where nothing does."""
    if marker == COMMENT:
        return b""
    if marker in APPLICATION:
        return _application(marker, segment)
    if not _accounted(marker, segment):
        raise ValueError(
            f"its JPEG segment FF{marker:02X} holds other bytes than the standard defines. Compress the image anew."
        )
    return segment


def _application(marker: int, segment: bytes) -> bytes:
    if marker == 0xE0 and segment[2:7] == b"JFIF\0" and len(segment) >= 16:
        return b"\0\x10" + segment[2:14] + b"\0\0"  # no thumbnail
    if marker == 0xEE and segment[2:7] == b"Adobe" and len(segment) >= 14:
        return b"\0\x0e" + segment[2:14]
    if marker == 0xE8 and segment[2:6] == b"mrfx" and len(segment) >= 7:
        return b"\0\x07" + segment[2:7]
    if marker == 0xEB and segment[2:4] == b"JP":
        raise ValueError("it is JPEG XT, whose extensions change the picture and cannot be checked")
    return b""


def _accounted(marker: int, segment: bytes) -> bool:
    """Whether every byte of a segment has a meaning: a table too long by a few bytes can hold a name."""
    if marker in FRAMES:
        return len(segment) >= 8 and len(segment) == 8 + 3 * segment[7]
    if marker == SCAN:
        return len(segment) >= 3 and len(segment) == 6 + 2 * segment[2]
    if marker == HUFFMAN:
        return _filled(segment, lambda at: 17 + sum(segment[at + 1 : at + 17]))
    if marker == QUANTISATION:
        return _filled(segment, lambda at: 129 if segment[at] >> 4 else 65)
    if marker == ARITHMETIC:
        return len(segment) % 2 == 0
    if marker == PRESETS:
        return segment[2:3] == b"\1" and len(segment) == 13
    return len(segment) == FIXED.get(marker)


def _filled(segment: bytes, size: Callable[[int], int]) -> bool:
    at = 2
    while at < len(segment):
        at += size(at)
    return at == len(segment)
