"""PNG and TIFF files of 8 or 16 bits: read whole, written band by band, so that what is written is never in memory."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from components.handover import Replacing, StepError
from components.imaging.decoding import UnreadableImage

PICTURES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
DEPTHS = {"L": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "RGB": np.uint8}  # by Pillow's mode
PHOTOMETRIC, BITS = 262, 258  # tags of TIFF 6.0
WHITE_IS_ZERO = 0
LARGEST_TIFF = 2**32 - 2**24  # bytes of pixels; above, offsets of 32 bits do not reach the tables that come after them
SUB = 1  # the PNG filter that tells each sample by the one to its left
INCH_M = 0.0254

Stored = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """`values` are (rows, columns) or (rows, columns, 3), uint8 or uint16; larger is brighter."""

    values: Stored
    dots_per_inch: tuple[float, float] | None  # across, down


@dataclass(frozen=True)
class _Made:
    """What a file says of the picture in it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    note: bytes
    dots_per_inch: tuple[float, float] | None


def read_picture(source: Path) -> Picture:
    """A grey picture of 8 or 16 bits, or a colour one of 8.

    Raises `UnreadableImage` where it cannot be decoded, `StepError` where it is of another kind.
    """
    try:
        with Image.open(source) as picture:
            pages, bits, mode, dpi = getattr(picture, "n_frames", 1), _bits(picture), picture.mode, _dpi(picture)
            negative = mode != "L" and _tag(picture, PHOTOMETRIC) == WHITE_IS_ZERO  # Pillow turns 8 bits round itself
            values = np.asarray(picture)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(source.name, f"not a PNG or TIFF that can be decoded: {error}") from error
    dtype = np.dtype(DEPTHS.get(mode, np.void))
    if mode not in DEPTHS or pages != 1 or not (bits == dtype.itemsize * 8 or (mode == "L" and bits < 8)):
        found = f"{pages} page(s) of mode {mode} and {bits} bits"
        raise StepError(
            f"{source}: expected one page, grey of 8 or 16 bits or RGB of 8, found {found}. Convert it first."
        )
    values = values.astype(dtype, copy=False)
    return Picture(2**bits - 1 - values if negative else values, dpi)


def write_picture(
    destination: Path, like: Picture, scale: int, bands: Iterable[Stored], description: str
) -> tuple[int, int]:
    """Writes `like` with `scale` times as many rows and columns, whole or not at all; returns how many those are.

    `bands` are its rows from top to bottom, some at a time.
    """
    rows, columns = (side * scale for side in like.values.shape[:2])
    dpi = like.dots_per_inch and (like.dots_per_inch[0] * scale, like.dots_per_inch[1] * scale)
    shape, note = (rows, columns, *like.values.shape[2:]), description.encode("ascii", "replace")
    write = _write_tiff if PICTURES[destination.suffix.lower()] == "TIFF" else _write_png
    with Replacing(destination) as temporary, temporary.open("wb") as handle:
        write(handle, bands, _Made(shape, like.values.dtype, note, dpi))
    return rows, columns


def _bits(picture: ImageFile) -> int:
    """Bits a sample: Pillow's mode for colour does not tell 16 from 8."""
    if picture.format == "TIFF":
        return int(max(_tag(picture, BITS) or (1,)))
    return 16 if any("16" in str(tile.args) for tile in picture.tile) else 8


def _tag(picture: ImageFile, tag: int) -> Any:
    return getattr(picture, "tag_v2", {}).get(tag)


def _dpi(picture: ImageFile) -> tuple[float, float] | None:
    across, down = picture.info.get("dpi") or (0, 0)
    return (float(across), float(down)) if across > 0 and down > 0 else None


def _write_png(handle: BinaryIO, bands: Iterable[Stored], made: _Made) -> None:
    handle.write(b"\x89PNG\r\n\x1a\n")
    rows, columns, colour_type = *made.shape[:2], 2 if len(made.shape) == 3 else 0
    _chunk(handle, b"IHDR", struct.pack(">LLBBBBB", columns, rows, made.dtype.itemsize * 8, colour_type, 0, 0, 0))
    _chunk(handle, b"tEXt", b"Description\0" + made.note)
    if made.dots_per_inch:
        _chunk(handle, b"pHYs", struct.pack(">LLB", *(round(dots / INCH_M) for dots in made.dots_per_inch), 1))
    squeezer = zlib.compressobj()
    for band in bands:
        if squeezed := squeezer.compress(_filtered(band).data):
            _chunk(handle, b"IDAT", squeezed)
    _chunk(handle, b"IDAT", squeezer.flush())
    _chunk(handle, b"IEND", b"")


def _chunk(handle: BinaryIO, kind: bytes, content: bytes) -> None:
    handle.write(struct.pack(">L", len(content)) + kind)
    handle.write(content)
    handle.write(struct.pack(">L", zlib.crc32(content, zlib.crc32(kind))))


def _filtered(band: Stored) -> NDArray[np.uint8]:
    """Rows as PNG has them: big endian, each sample less the one to its left, the filter's number before them."""
    samples = np.ascontiguousarray(band.astype(band.dtype.newbyteorder(">"), copy=False))
    raw = samples.view(np.uint8).reshape(len(band), -1)
    pixel = raw.shape[1] // band.shape[1]
    found = np.full((len(raw), raw.shape[1] + 1), SUB, np.uint8)
    found[:, 1:] = raw
    found[:, 1 + pixel :] -= raw[:, :-pixel]
    return found


def _write_tiff(handle: BinaryIO, bands: Iterable[Stored], made: _Made) -> None:
    """Not compressed, a strip a row; with offsets of 64 bits where 32 do not reach."""
    size = math.prod(made.shape) * made.dtype.itemsize
    with tifffile.TiffWriter(handle, bigtiff=size > LARGEST_TIFF) as writer:
        writer.write(
            (row[None] for band in bands for row in band),
            shape=made.shape,
            dtype=made.dtype,
            photometric="rgb" if len(made.shape) == 3 else "minisblack",
            rowsperstrip=1,
            description=made.note,
            metadata=None,
            software=False,
            resolution=made.dots_per_inch,
            resolutionunit="INCH" if made.dots_per_inch else None,
        )
