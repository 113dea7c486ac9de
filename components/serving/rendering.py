"""Images as a browser can show them: 8 bits, before and after under the same window.

A derived image may be larger than memory: it is read from its file some rows at a time, and made smaller by them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from components.dicom.frames import frame_values, padding_mask, pixel_bits, stored_frame
from components.dicom.read import open_dicom
from components.handover import StepError
from components.imaging.decoding import BROKEN, UnreadableImage
from components.imaging.picture_files import read_picture

LONGEST_SIDE = 2048  # pixels; more than a screen has
BAND_VALUES = 2**22  # that are calculated with at a time
SAMPLE_SIDE = 1024  # rows and columns at most that percentiles are taken over
SHARE_SHOWN = (0.5, 99.5)  # percentiles, where an image does not say how it is to be shown

Values = NDArray[np.float32]
Window = tuple[float, float]


@dataclass(frozen=True)
class _Frame:
    """One frame, (rows, columns) or (rows, columns, 3), as it is stored, and the header that says what that means."""

    stored: NDArray[Any]
    header: Dataset | None  # a picture has none
    number: int

    def part(self, rows: slice, step: int = 1) -> NDArray[Any]:
        """Each `step`th pixel of these rows."""
        part = np.array(self.stored[rows.start : rows.stop : step, ::step])
        return part if self.header is None else pixel_bits(part, self.header)

    def values(self, part: NDArray[Any]) -> Values:
        """Modality values, or those of RGB."""
        return part.astype(np.float32) if self.header is None else frame_values(part, self.header, self.number)

    def padding(self, part: NDArray[Any]) -> NDArray[np.bool_]:
        return np.zeros(part.shape, bool) if self.header is None else padding_mask(part, self.header)

    def sample(self) -> Values:
        """Enough values to tell the rest by: all of a small frame."""
        return self.values(self.part(slice(0, len(self.stored)), -(-max(self.stored.shape[:2]) // SAMPLE_SIDE)))

    @property
    def negative(self) -> bool:
        return self.header is not None and self.header.PhotometricInterpretation == "MONOCHROME1"


def rendered(path: Path, window_of: Path, number: int) -> bytes:
    """A PNG of frame `number` (from 1) of `path`, as the image in `window_of` is to be shown (PS3.3 C.11.2).

    Longer sides than 2048 pixels are reduced. Raises `UnreadableImage`, `IndexError` where there is no such frame.
    """
    frame = _frame(path, number)
    other = frame if path == window_of else _frame(window_of, number)
    try:
        window = _window_of(frame, other)
        picture = Image.fromarray(np.concatenate(list(_bands(frame, window))))
    except BROKEN as error:
        raise UnreadableImage(path.name, f"pixels cannot be decoded: {error}") from error
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _bands(frame: _Frame, window: Window) -> Iterator[NDArray[np.uint8]]:
    """The frame in 8 bits, from top to bottom, reduced by a whole factor to at least twice what is shown."""
    rows, columns = frame.stored.shape[:2]
    factor = max(1, max(rows, columns) // (2 * LONGEST_SIDE))
    height = max(1, BAND_VALUES // (columns * factor)) * factor
    for start in range(0, rows, height):
        part = slice(start, min(start + height, rows))
        shown = _in_8_bits(frame, part, window)
        yield np.asarray(Image.fromarray(shown).reduce(factor))


def _in_8_bits(frame: _Frame, rows: slice, window: Window) -> NDArray[np.uint8]:
    low, high = window
    part = frame.part(rows)
    values = frame.values(part)
    values = np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255)
    values = 255 - values if frame.negative else values
    if values.ndim == 2:
        values[frame.padding(part)] = 0  # else as dark as the darkest of these rows, and other rows have others
    shown: NDArray[np.uint8] = values.round().astype(np.uint8)
    return shown


def _frame(path: Path, number: int) -> _Frame:
    try:
        if path.suffix == ".dcm":
            header = open_dicom(path, by_frame=True)
            return _Frame(stored_frame(header, number - 1), header, number - 1)
        if number != 1:
            raise IndexError(number)
        return _Frame(read_picture(path).values, None, 0)
    except IndexError:
        raise
    except (StepError, *BROKEN) as error:
        raise UnreadableImage(path.name, f"pixels cannot be decoded: {error}") from error


def _window_of(frame: _Frame, other: _Frame) -> Window:
    """What of `frame` is shown: all of its colours, or the greys that are to be shown of `other`."""
    values = frame.sample()
    if values.ndim == 3:
        return 0.0, 255.0 if values.max() <= 255 else 65535.0
    if other is not frame:
        values = other.sample()
    return _percentiles(values) if other.header is None else _window(other.header, values)


def _window(header: Dataset, values: Values) -> Window:
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 1:
        return _percentiles(values)
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _first(value: object) -> float | None:
    found = value[0] if isinstance(value, MultiValue) and value else value
    return None if found in (None, "") or isinstance(found, MultiValue) else float(str(found))


def _percentiles(values: Values) -> Window:
    low, high = np.percentile(values, SHARE_SHOWN)
    return float(low), float(high)
