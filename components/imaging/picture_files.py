"""PNG, JPEG and TIFF files read whole; PNG and TIFF written band by band, so that the result is never in memory.

`_decode` is the only place that decodes one. `read_picture` and `read_pixels` shape its answer for those who ask.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from PIL.ImageFile import ImageFile

from components.handover import Replacing, StepError
from components.imaging.decoding import BROKEN, MAX_VALUES, UnreadableImage

PICTURES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
DEPTHS = {"L": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "RGB": np.uint8}  # by Pillow's mode
GREY_BITS = {"1": 1, "L": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}  # by Pillow's mode
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
class PixelArray:
    """`pixels` are float32, (frames, rows, columns[, 3]), in the values of the file."""

    pixels: NDArray[np.float32]
    bits: int
    spacing_mm: str = ""  # "row\\column" as in DICOM


@dataclass(frozen=True)
class _Decoded:
    """`pages` are (rows, columns) of a grey mode, else (rows, columns, 3), as Pillow gives them."""

    pages: list[Stored]
    page_count: int  # of the file, which may have more than were asked for
    mode: str
    bits: int  # a sample, by the file's own word
    negative: bool  # white is zero, and Pillow leaves it so
    dots_per_inch: tuple[float, float] | None


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
    found = _decode(source, source.name, most_values=math.inf, most_pages=1)  # Pillow's own limit bounds one page
    mode, bits, dtype = found.mode, found.bits, np.dtype(DEPTHS.get(found.mode, np.void))
    if mode not in DEPTHS or found.page_count != 1 or not (bits == dtype.itemsize * 8 or (mode == "L" and bits < 8)):
        raise StepError(
            f"{source}: expected one page, grey of 8 or 16 bits or RGB of 8, found {found.page_count} page(s) of mode "
            f"{mode} and {bits} bits. Convert it first."
        )
    values = found.pages[0].astype(dtype, copy=False)
    return Picture(2**bits - 1 - values if found.negative else values, found.dots_per_inch)


def read_pixels(path: Path, name: str) -> PixelArray:
    """Grey as it is stored, 1 to 32 bits; everything else as 8-bit RGB; the pages of a TIFF as frames.

    Raises `UnreadableImage`, which names the file `name`.
    """
    found = _decode(path, name)
    if len({page.shape for page in found.pages}) > 1:
        raise UnreadableImage(name, "its pages differ in size")
    return PixelArray(np.stack(found.pages).astype(np.float32), GREY_BITS.get(found.mode, 8))


def picture_size(path: Path) -> tuple[int, int]:
    """Rows and columns as the header tells them; nothing is decoded. Raises `UnreadableImage`."""
    with _opened(path, path.name) as picture:
        return picture.height, picture.width


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


@contextmanager
def _opened(path: Path, name: str) -> Iterator[ImageFile]:
    """The picture in `path`. What Pillow raises of it, then and in the block, becomes `UnreadableImage`."""
    try:
        with Image.open(path) as picture:
            yield picture
    except (Image.DecompressionBombError, SyntaxError, *BROKEN) as error:
        reason = " ".join(str(error).split())[:300]
        raise UnreadableImage(name, f"not a PNG or TIFF or JPEG that can be decoded: {reason}") from error


def _decode(path: Path, name: str, most_values: float = MAX_VALUES, most_pages: int | None = None) -> _Decoded:
    """The first `most_pages` pages, all of them by default. Raises `UnreadableImage`, also above `most_values`."""
    with _opened(path, name) as picture:
        page_count = getattr(picture, "n_frames", 1)
        if picture.width * picture.height * page_count * 3 > most_values:
            raise UnreadableImage(name, f"claims more than {most_values} values")
        bits, mode, dots_per_inch = _bits(picture), picture.mode, _dpi(picture)
        negative = mode != "L" and _tag(picture, PHOTOMETRIC) == WHITE_IS_ZERO  # Pillow turns 8 bits round itself
        pages = [
            np.asarray(page if mode in GREY_BITS or page.mode == "RGB" else page.convert("RGB"))
            for page in islice(ImageSequence.Iterator(picture), most_pages)
        ]
    return _Decoded(pages, page_count, mode, bits, negative, dots_per_inch)


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
