"""Leaves in Pixel Data what belongs to the image and nothing else.

Identity hides beside the pixels too: an overlay in bits that no pixel uses (allowed until 2004, PS3.5 8.1.1), text
behind the last pixel, fragments beyond the last frame, comments in a compressed stream. All of it goes; pixels stay.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import as_pixel_options, get_expected_length, iter_pixels
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from components.dicom import jpeg_2000_segments, jpeg_segments
from components.dicom.frames import panics_told, pixel_bits
from components.dicom.lookup import entries, expanded
from components.imaging.decoding import BROKEN

FLOATS = {"FloatPixelData": 4, "DoubleFloatPixelData": 8}  # bytes a value
PALETTES = tuple(f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue"))
ITEM = b"\xfe\xff\x00\xe0"


def keep_pixels_alone(dataset: Dataset) -> None:
    """Clears, in place, everything in the pixel data of `dataset` that is no pixel of its frames.

    Native data have to be little endian. Pixel bits are moved to the lowest ones and their sign extended where High Bit
    is not Bits Stored - 1; RLE is decoded and encoded again; streams of JPEG's family keep their entropy-coded data.
    Data that are too short stay as they are. Raises `ValueError` where it cannot be told what belongs to the image.
    """
    _cut_tables(dataset)
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    for keyword, size in FLOATS.items():
        if keyword in dataset:
            _cut(dataset, keyword, size * _values(dataset))
    if "PixelData" not in dataset:
        return
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise ValueError(
            f"Transfer Syntax UID: expected one that the standard defines, found {_kind(syntax)}. Convert it."
        )
    if syntax == RLELossless:
        _encode_again(dataset)
    elif syntax.is_encapsulated:
        _clean_streams(dataset, _cleaner(syntax))
    else:
        _drop_offsets(dataset)
        _clean_native(dataset)


def _kind(syntax: UID) -> str:
    return "a private one" if syntax.is_private else "another value"


def _values(dataset: Dataset) -> int:
    return int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)


def _cut(dataset: Dataset, keyword: str, length: int) -> None:
    data = dataset[keyword].value
    if len(data) > length:
        dataset[keyword].value = bytes(data[:length]) + b"\0" * (length % 2)


def _cut_tables(dataset: Dataset) -> None:
    """Look-up tables, at any depth, to the entries that their descriptor gives (PS3.3 C.7.6.3.1.5, C.11.1.1.1).

    A table whose entries cannot be told apart from other data goes.
    """
    for table in ("LUT", *PALETTES):
        if f"{table}Data" in dataset:
            _cut_table(dataset, f"{table}Data", table)
    for table in PALETTES:
        if f"Segmented{table}Data" in dataset and not _is_whole(dataset, table):
            del dataset[f"Segmented{table}Data"]
    for element in dataset:
        for item in element.value if element.VR == "SQ" else ():
            _cut_tables(item)


def _cut_table(dataset: Dataset, keyword: str, table: str) -> None:
    try:
        found = entries(dataset, table)
    except BROKEN:
        del dataset[keyword]
        return
    data = found.astype(found.dtype.newbyteorder("<")).tobytes()
    dataset.add_new(keyword, "OW", data + b"\0" * (len(data) % 2))


def _is_whole(dataset: Dataset, table: str) -> bool:
    try:
        return len(expanded(dataset, table)) > 0
    except BROKEN:
        return False


def _clean_native(dataset: Dataset) -> None:
    if dataset["PixelData"].is_undefined_length or dataset.PixelData[:4] == ITEM:
        raise ValueError(
            "Pixel Data: expected pixels, as its transfer syntax says, found compressed fragments. "
            "Correct Transfer Syntax UID."
        )
    length = get_expected_length(dataset)
    if len(dataset.PixelData) < length:
        return
    _refuse_more_frames(dataset, length)
    _cut(dataset, "PixelData", length)
    if dataset.BitsAllocated == 1:
        _clear_last_bits(dataset, length)
    elif _may_hold_more(dataset):
        pixels = _as_array(dataset)
        cleared = pixel_bits(pixels, dataset)
        if not np.array_equal(cleared, pixels):
            dataset.PixelData = cleared.tobytes().ljust(len(dataset.PixelData), b"\0")
        dataset.HighBit = int(dataset.BitsStored) - 1
    if length % 2:
        dataset.PixelData = dataset.PixelData[:length] + b"\0"


def _refuse_more_frames(dataset: Dataset, length: int) -> None:
    """Raises `ValueError` where whole frames follow: rather the header is wrong than that they are none."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    more, rest = divmod(len(dataset.PixelData) - length, length // frames) if dataset.BitsAllocated > 1 else (0, 0)
    if more and rest in (0, len(dataset.PixelData) % 2):
        raise ValueError(
            f"Number of Frames (0028,0008): expected {frames} frames, as the header says, found pixels of "
            f"{frames + more}. Correct it, or leave the file out"
        )


def _as_array(dataset: Dataset) -> NDArray[Any]:
    """Pixels one after another, as they are stored, without the byte that fills up to an even length."""
    kind = "i" if dataset.PixelRepresentation else "u"
    size = int(dataset.BitsAllocated) // 8
    return np.frombuffer(dataset.PixelData, f"<{kind}{size}", count=get_expected_length(dataset) // size)


def _may_hold_more(dataset: Dataset) -> bool:
    """Whether there are bits that no pixel uses. Raises `ValueError` where the header contradicts itself about them."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if stored >= allocated:
        return False
    high = int(dataset.get("HighBit", stored - 1))
    if not 1 <= stored <= high + 1 <= allocated:
        raise ValueError(
            f"High Bit: expected {stored - 1} to {allocated - 1} where Bits Stored is {stored}, found {high}. "
            "Correct the header."
        )
    return allocated in (8, 16, 32, 64)


def _clear_last_bits(dataset: Dataset, length: int) -> None:
    """Bits behind the last pixel where eight pixels share a byte, the first in its lowest bit (PS3.5 8.1.1)."""
    used = _values(dataset) % 8
    if used:
        last = dataset.PixelData[length - 1] & (1 << used) - 1
        dataset.PixelData = dataset.PixelData[: length - 1] + bytes((last,)) + dataset.PixelData[length:]


def _encode_again(dataset: Dataset) -> None:
    expected = int(dataset.get("NumberOfFrames") or 1)
    more = _may_hold_more(dataset)
    decoded = iter_pixels(dataset, raw=True, correct_unused_bits=False)  # pydicom's correction takes no High Bit in
    with panics_told():
        frames = [pixel_bits(frame, dataset) if more else frame for frame in islice(decoded, expected)]
    if len(frames) < expected:
        raise ValueError(f"truncated: the header says {expected} frames, {len(frames)} are there")
    if more:
        dataset.HighBit = int(dataset.BitsStored) - 1
    pixels = frames[0].copy() if expected == 1 else np.stack(frames)
    _drop_offsets(dataset)
    if dataset.BitsAllocated in (8, 16):
        dataset.compress(RLELossless, pixels, generate_instance_uid=False)
    else:  # pydicom encodes no others
        _store_native(dataset, pixels)


def _store_native(dataset: Dataset, pixels: NDArray[Any]) -> None:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
    dataset.add_new("PixelData", "OW", pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())


def _cleaner(syntax: UID) -> Callable[[bytes], bytes]:
    if syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        return jpeg_segments.without_messages
    if syntax in JPEG2000TransferSyntaxes:  # HTJ2K among them
        return jpeg_2000_segments.without_messages
    raise ValueError(f"its streams ({syntax.name}) cannot be searched for text. Convert it to another transfer syntax.")


def _clean_streams(dataset: Dataset, cleaned: Callable[[bytes], bytes]) -> None:
    options = as_pixel_options(dataset)
    streams = generate_frames(
        dataset.PixelData,
        number_of_frames=options["number_of_frames"],
        extended_offsets=options.get("extended_offsets"),
    )
    frames = [cleaned(stream) for stream in islice(streams, options["number_of_frames"])]
    _drop_offsets(dataset)
    dataset.PixelData = encapsulate(frames)  # with a basic offset table of its own
    dataset["PixelData"].is_undefined_length = True


def _drop_offsets(dataset: Dataset) -> None:
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        dataset.pop(keyword, None)
