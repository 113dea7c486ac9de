"""Images as a browser can show them: 8 bits, before and after under the same window.

A derived image may be larger than memory. It is read and reduced some rows at a time.
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
BAND_VALUES = 2**22  # values calculated with at a time
SAMPLE_SIDE = 1024  # rows and columns at most that percentiles are taken over
SHARE_SHOWN = (0.5, 99.5)  # percentiles, where an image does not say how it is to be shown

Values = NDArray[np.float32]
Window = tuple[float, float]


@dataclass(frozen=True)
class _Frame:
    """One stored frame, (rows, columns) or (rows, columns, 3), and the header that gives its values their meaning."""

    stored: NDArray[Any]
    header: Dataset | None  # a picture has none
    number: int

    def pixels(self, rows: slice, step: int = 1) -> NDArray[Any]:
        """Each `step`th pixel of these rows."""
        pixels = np.array(self.stored[rows.start : rows.stop : step, ::step])
        return pixels if self.header is None else pixel_bits(pixels, self.header)

    def values(self, pixels: NDArray[Any]) -> Values:
        """Modality values, or those of RGB."""
        return pixels.astype(np.float32) if self.header is None else frame_values(pixels, self.header, self.number)

    def padding(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        return np.zeros(pixels.shape, bool) if self.header is None else padding_mask(pixels, self.header)

    def sample(self) -> Values:
        """A regular sample of the frame's values, for percentiles; all values of a small frame."""
        return self.values(self.pixels(slice(0, len(self.stored)), -(-max(self.stored.shape[:2]) // SAMPLE_SIDE)))

    @property
    def negative(self) -> bool:
        return self.header is not None and self.header.PhotometricInterpretation == "MONOCHROME1"


def rendered(path: Path, window_of: Path, number: int) -> bytes:
    """A PNG of frame `number` (from 1) of `path`, as the image in `window_of` is to be shown (PS3.3 C.11.2).

    Longer sides than 2048 pixels are reduced. Raises `UnreadableImage`, `IndexError` where there is no such frame.
    """
    frame = _frame(path, number)
    reference = frame if path == window_of else _frame(window_of, number)
    try:
        window = _window_of(frame, reference)
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
        band = slice(start, min(start + height, rows))
        eight_bit = _in_8_bits(frame, band, window)
        yield np.asarray(Image.fromarray(eight_bit).reduce(factor))


def _in_8_bits(frame: _Frame, rows: slice, window: Window) -> NDArray[np.uint8]:
    low, high = window
    pixels = frame.pixels(rows)
    values = frame.values(pixels)
    values = np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255)
    values = 255 - values if frame.negative else values
    if values.ndim == 2:
        values[frame.padding(pixels)] = 0  # else as dark as the darkest of these rows, and other rows have others
    eight_bit: NDArray[np.uint8] = values.round().astype(np.uint8)
    return eight_bit


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


def _window_of(frame: _Frame, reference: _Frame) -> Window:
    """What of `frame` is shown: all of its colours, or the greys that are to be shown of `reference`."""
    values = frame.sample()
    if values.ndim == 3:
        return 0.0, 255.0 if values.max() <= 255 else 65535.0
    if reference is not frame:
        values = reference.sample()
    return _percentiles(values) if reference.header is None else _window(reference.header, values)


def _window(header: Dataset, values: Values) -> Window:
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 1:
        return _percentiles(values)
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _first(value: object) -> float | None:
    number = value[0] if isinstance(value, MultiValue) and value else value
    return None if number in (None, "") or isinstance(number, MultiValue) else float(str(number))


def _percentiles(values: Values) -> Window:
    low, high = np.percentile(values, SHARE_SHOWN)
    return float(low), float(high)
