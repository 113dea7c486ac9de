"""Compressed frames, looked at before a decoder sees them: they have to be whole, and as large as the header says.

The frame headers of JPEG (ITU T.81 B.2.2) and JPEG-LS (T.87 C.2.2) are read here and not by libjpeg, which never comes
back from some that are broken, and lets no other thread run meanwhile.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import openjpeg.utils
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from components.imaging.decoding import REMEDY, FaultyFile, library, with_remedy


class Codestream(NamedTuple):
    """What the header of a compressed frame says of it."""

    rows: int
    columns: int
    bits: int  # of each sample: its precision
    signed: bool | None  # None where its format does not tell


START, END = b"\xff\xd8", b"\xff\xd9"
FRAME_HEADERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)  # SOF0 to 3 and 55: those that DICOM has
# DHT, DQT, DRI, LSE, APPn and COM may stand before a frame header; no other may
BEFORE_FRAME = (0xC4, 0xDB, 0xDD, 0xF8, *range(0xE0, 0xF0), 0xFE)
MOST_SEGMENTS = 1000
HEADER_BYTES, COMPONENT_BYTES = 8, 3


def check_frames(dataset: Dataset) -> list[Codestream]:
    """What each compressed frame says of itself; nothing where the transfer syntax has no frame headers.

    Raises `FaultyFile` for the first frame that is truncated, or has not the size that `dataset` says.
    """
    read = _reader(dataset.file_meta.TransferSyntaxUID)
    return [] if read is None else [_checked(read, *frame, dataset) for frame in enumerate(_streams(dataset), start=1)]


def jpeg_header(stream: bytes) -> Codestream:
    """What the frame header of a JPEG or JPEG-LS stream says.

    Raises `FaultyFile` where it says no size: also where a later marker was to tell the number of lines (DNL).
    """
    return _header_and_end(stream)[0]


def _header_and_end(stream: bytes) -> tuple[Codestream, int]:
    """The frame header, and where it ends."""
    if stream[:2] != START:
        raise FaultyFile("no JPEG stream")
    at = 2
    for _ in range(MOST_SEGMENTS):
        marker, at = _marker(stream, at)
        length = int.from_bytes(stream[at : at + 2])
        if length < 2 or at + length > len(stream):
            raise FaultyFile(f"broken: its JPEG segment FF{marker:02X} claims {length} bytes")
        if marker in FRAME_HEADERS:
            return _frame_header(stream[at : at + length]), at + length
        if marker not in BEFORE_FRAME:
            raise FaultyFile(f"broken: expected a JPEG frame header, found the marker FF{marker:02X}")
        at += length
    raise FaultyFile(f"broken: no frame header among its first {MOST_SEGMENTS} JPEG segments")


def _streams(dataset: Dataset) -> Iterator[bytes]:
    """Compressed frames, as the decoder finds them: what is checked is what is decoded."""
    with library("pixels cannot be decoded"):
        options = as_pixel_options(dataset)
        yield from generate_frames(
            dataset.PixelData,
            number_of_frames=options["number_of_frames"],
            extended_offsets=options.get("extended_offsets"),
        )


def _checked(read: Callable[[bytes], Codestream], number: int, stream: bytes, dataset: Dataset) -> Codestream:
    try:
        found = read(stream)
    except FaultyFile as error:
        raise FaultyFile(with_remedy(f"pixels cannot be decoded: frame {number} is {error}")) from error
    if (found.rows, found.columns) != (dataset.Rows, dataset.Columns):
        said = f"{dataset.Rows} x {dataset.Columns}"
        size = f"{found.rows} x {found.columns}"
        raise FaultyFile(f"pixels cannot be decoded: frame {number} is {size}, its header says {said}. {REMEDY}")
    return found


def _reader(syntax: UID) -> Callable[[bytes], Codestream] | None:
    """What reads a frame's header; nothing where frames have none."""
    if syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        return _whole_jpeg_header
    return _jpeg_2000_header if syntax in JPEG2000TransferSyntaxes else None


def _whole_jpeg_header(stream: bytes) -> Codestream:
    """Decoders make up what is missing, so the end has to be there; anything may follow it.

    Neither entropy-coded data nor tables hold the end marker. An application segment before the frame header may.
    """
    header, at = _header_and_end(stream)
    if stream.find(END, at) < 0:
        raise FaultyFile("truncated")
    return header


def _jpeg_2000_header(stream: bytes) -> Codestream:
    with library("broken"):
        found = openjpeg.utils.get_parameters(stream)
    return Codestream(int(found["rows"]), int(found["columns"]), int(found["precision"]), bool(found["is_signed"]))


def _marker(stream: bytes, at: int) -> tuple[int, int]:
    """The marker at `at`, and where its segment begins; any number of fill bytes may stand before it (T.81 B.1.1.2)."""
    first = at
    while stream[at : at + 1] == b"\xff":
        at += 1
    if at in (first, len(stream)):
        raise FaultyFile(f"broken: expected a JPEG marker at byte {first}, found none")
    return stream[at], at + 1


def _frame_header(segment: bytes) -> Codestream:
    """`segment` is the frame header from its length on."""
    if len(segment) < HEADER_BYTES or len(segment) != HEADER_BYTES + COMPONENT_BYTES * segment[HEADER_BYTES - 1]:
        raise FaultyFile("broken: the length of its JPEG frame header does not fit its components")
    _, precision, rows, columns, components = struct.unpack_from(">HBHHB", segment)
    if not (2 <= precision <= 16 and rows and columns and components in (1, 3)):
        said = f"{rows} x {columns} pixels of {components} components and {precision} bits"
        raise FaultyFile(f"broken: its JPEG frame header says {said}")
    return Codestream(rows, columns, precision, None)
