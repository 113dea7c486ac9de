"""Sharpens one frame, in its stored values, with a network trained on images in [0, 1], dense tissue bright.

The network does not see what exceeds the frame's percentile range: that is enlarged bicubically and added. The network
enlarges lightness, bicubic interpolation enlarges colour. Results come in bands of rows, so that a radiograph of
sixteen times the pixels is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.imaging.degradation import enlarge
from components.imaging.intensity import LUMA_WEIGHTS, percentile_range
from components.learning.inference.generator import Generator
from components.learning.inference.tiling import OVERLAP, TILE, Rows, sharpen_bands

REACH = 3  # rows above and below a band that its bicubic enlargement depends on

Stored = NDArray[np.integer[Any]]
Values = NDArray[np.floating[Any]]  # float64 where float32 would lose bits; results have the same type


def sharpen_grey(
    values: Stored | Values,
    generator: Generator,
    tile: int = TILE,
    mirrored: bool = False,
    padding: NDArray[np.bool_] | None = None,
) -> Iterator[Values]:
    """`values` (rows, columns) with `generator.scale` times as many of both, in the same unit, not rounded.

    They come as bands of whole rows, from top to bottom; only the rows of a band are converted at a time. `mirrored`
    says that larger values are darker (MONOCHROME1). Pixels under `padding` hold no image: the range leaves them out,
    the network gets background in their place, and the result there is no image either.
    """
    low, high = _range(values if padding is None or padding.all() else values[~padding], generator.percentiles)

    def unit(start: int, stop: int) -> Values:
        part = as_values(values[start:stop])
        part -= low
        part /= high - low
        if mirrored:
            np.subtract(1, part, out=part)
        if padding is not None:
            part[padding[start:stop]] = 0
        return part

    for sharp in _sharpen_unit(unit, values.shape, generator, tile):
        if mirrored:
            np.subtract(1, sharp, out=sharp)
        sharp *= high - low
        sharp += low
        yield sharp


def sharpen_colour(values: Stored | Values, generator: Generator, tile: int = TILE) -> Iterator[Values]:
    """`values` (rows, columns, 3) as RGB, with `generator.scale` times as many rows and columns, in bands of rows.

    Differences from luma are enlarged bicubically, which is the same as enlarging both chroma components.
    """
    luma, first = _luma(values), 0

    def chroma(start: int, stop: int, channel: int) -> Values:
        return as_values(values[start:stop, :, channel]) - luma[start:stop]

    for sharp in sharpen_grey(luma, generator, tile):
        rows = slice(first, first + len(sharp) // generator.scale)
        chromas = (_enlarge(partial(chroma, channel=n), rows, len(values), generator.scale) for n in range(3))
        yield np.stack([sharp + enlarged for enlarged in chromas], axis=-1)
        first = rows.stop


def as_values(stored: Stored | Values) -> Values:
    """A floating-point copy, in float64 where float32 would lose bits."""
    return stored.astype(np.float64 if stored.dtype.itemsize > 2 and stored.dtype != np.float32 else np.float32)


def _luma(values: Stored | Values) -> Values:
    total = np.zeros(values.shape[:2], as_values(values[:1, :1]).dtype)
    for channel, weight in enumerate(LUMA_WEIGHTS):
        total += as_values(values[..., channel]) * weight
    return total


def _range(values: Stored | Values, percentiles: tuple[float, float]) -> tuple[float, float]:
    """The values mapped to 0 and 1; 1 apart where all values are equal, as in a blank frame of a cine loop."""
    if values.min() == values.max():
        return float(values.min()), float(values.min()) + 1
    return percentile_range(values, *percentiles)


def _sharpen_unit(
    unit: Callable[[int, int], Values], shape: tuple[int, ...], generator: Generator, tile: int
) -> Iterator[Values]:
    """The network's output for `unit`, plus what exceeds [0, 1] in it; `unit(start, stop)` gives these rows."""

    def inside(start: int, stop: int) -> Tensor:
        return torch.from_numpy(np.clip(unit(start, stop), 0, 1).astype(np.float32, copy=False))[None, None]

    def outside(start: int, stop: int) -> Values:
        part = unit(start, stop)
        return part - np.clip(part, 0, 1)

    image, dtype, first = Rows(shape[0], shape[1], inside), unit(0, 1).dtype, 0
    for band in sharpen_bands(generator.network, image, generator.scale, tile, min(OVERLAP, tile // 4)):
        rows = band.shape[2] // generator.scale
        sharp: Values = band[0, 0].numpy().astype(dtype, copy=False)
        sharp += _enlarge(outside, slice(first, first + rows), shape[0], generator.scale)
        yield sharp
        first += rows


def _enlarge(take: Callable[[int, int], Values], rows: slice, height: int, scale: int) -> Values:
    """The `rows` of `take`, enlarged bicubically as part of the whole image of `height` rows."""
    above, below = max(0, rows.start - REACH), min(height, rows.stop + REACH)
    values = take(above, below)
    if not values.any():
        return np.zeros((len(range(*rows.indices(height))) * scale, values.shape[1] * scale), values.dtype)
    large = enlarge(values.astype(np.float32, copy=False), scale)
    return large[(rows.start - above) * scale : (rows.stop - above) * scale].astype(values.dtype, copy=False)
