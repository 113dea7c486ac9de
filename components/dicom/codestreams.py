"""Compressed frames, looked at before a decoder sees them: they have to be whole, and as large as the header says.

The frame headers of JPEG (ITU T.81 B.2.2) and JPEG-LS (T.87 C.2.2) are read here and not by libjpeg, which never comes
back from some that are broken, and lets no other thread run meanwhile.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import openjpeg.utils
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

Size = tuple[int, int]  # rows, columns

START, END = b"\xff\xd8", b"\xff\xd9"
FRAME_HEADERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)  # SOF0 to 3 and 55: those that DICOM has
# DHT, DQT, DRI, LSE, APPn and COM may stand before a frame header; no other may
BEFORE_FRAME = (0xC4, 0xDB, 0xDD, 0xF8, *range(0xE0, 0xF0), 0xFE)
MOST_SEGMENTS = 1000
HEADER_BYTES, COMPONENT_BYTES = 8, 3


def check_frames(dataset: Dataset) -> None:
    """Raises `ValueError` for the first frame that is truncated, or has not the size that `dataset` says."""
    size_of = _reader(dataset.file_meta.TransferSyntaxUID)
    if size_of is None:
        return
    options = as_pixel_options(dataset)  # found as the decoder finds them: what is checked is what is decoded
    streams = generate_frames(
        dataset.PixelData,
        number_of_frames=options["number_of_frames"],
        extended_offsets=options.get("extended_offsets"),
    )
    for number, stream in enumerate(streams, start=1):
        try:
            rows, columns = size_of(stream)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"frame {number} is {error}") from error
        if (rows, columns) != (dataset.Rows, dataset.Columns):
            said = f"{dataset.Rows} x {dataset.Columns}"
            raise ValueError(f"frame {number} is {rows} x {columns}, its header says {said}")


def jpeg_size(stream: bytes) -> Size:
    """Rows and columns that the frame header of a JPEG or JPEG-LS stream says.

    Raises `ValueError` where it says none: also where a later marker was to tell the number of lines (DNL).
    """
    if stream[:2] != START:
        raise ValueError("no JPEG stream")
    at = 2
    for _ in range(MOST_SEGMENTS):
        marker, at = _marker(stream, at)
        length = int.from_bytes(stream[at : at + 2])
        if length < 2 or at + length > len(stream):
            raise ValueError(f"broken: its JPEG segment FF{marker:02X} claims {length} bytes")
        if marker in FRAME_HEADERS:
            return _frame_size(stream[at : at + length])
        if marker not in BEFORE_FRAME:
            raise ValueError(f"broken: expected a JPEG frame header, found the marker FF{marker:02X}")
        at += length
    raise ValueError(f"broken: no frame header among its first {MOST_SEGMENTS} JPEG segments")


def _reader(syntax: UID) -> Callable[[bytes], Size] | None:
    """What tells the size of a frame; nothing where frames do not say it themselves."""
    if syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        return _whole_jpeg_size
    return _jpeg_2000_size if syntax in JPEG2000TransferSyntaxes else None


def _whole_jpeg_size(stream: bytes) -> Size:
    """Decoders make up what is missing, so the end has to be there."""
    size = jpeg_size(stream)
    if END not in stream[-16:]:
        raise ValueError("truncated")
    return size


def _jpeg_2000_size(stream: bytes) -> Size:
    found = openjpeg.utils.get_parameters(stream)
    return int(found["rows"]), int(found["columns"])


def _marker(stream: bytes, at: int) -> tuple[int, int]:
    """The marker at `at`, and where its segment begins; any number of fill bytes may stand before it (T.81 B.1.1.2)."""
    first = at
    while stream[at : at + 1] == b"\xff":
        at += 1
    if at in (first, len(stream)):
        raise ValueError(f"broken: expected a JPEG marker at byte {first}, found none")
    return stream[at], at + 1


def _frame_size(segment: bytes) -> Size:
    """`segment` is the frame header from its length on."""
    if len(segment) < HEADER_BYTES or len(segment) != HEADER_BYTES + COMPONENT_BYTES * segment[HEADER_BYTES - 1]:
        raise ValueError("broken: the length of its JPEG frame header does not fit its components")
    _, precision, rows, columns, components = struct.unpack_from(">HBHHB", segment)
    if not (2 <= precision <= 16 and rows and columns and components in (1, 3)):
        said = f"{rows} x {columns} pixels of {components} components and {precision} bits"
        raise ValueError(f"broken: its JPEG frame header says {said}")
    return rows, columns
