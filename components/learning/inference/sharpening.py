"""One frame, in its own values, sharpened by a network that knows images in [0, 1] and bright for dense.

What lies outside the frame's percentile range is not shown to the network and not lost either: it is enlarged
bicubically and added. Colour goes through bicubically, lightness through the network. Results come in bands of rows, so
that a radiograph of sixteen times the pixels is never in memory as a whole.
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

REACH = 3  # rows beyond its own that bicubic enlargement of a band looks at

Stored = NDArray[np.integer[Any]]
Values = NDArray[np.floating[Any]]  # float64 for more bits than 24; what comes out is as what went in


def sharpen_grey(
    values: Stored | Values,
    generator: Generator,
    tile: int = TILE,
    mirrored: bool = False,
    padding: NDArray[np.bool_] | None = None,
) -> Iterator[Values]:
    """`values` (rows, columns) with `generator.scale` times as many of both, in the same unit, not rounded.

    They come as bands of whole rows, from top to bottom, and no more of `values` is converted at a time. `mirrored`
    says that larger values are darker (MONOCHROME1). Pixels under `padding` hold no image: they take no part in the
    range and count as background; what comes out in their place is not an image either.
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

    def tint(start: int, stop: int, channel: int) -> Values:
        return as_values(values[start:stop, :, channel]) - luma[start:stop]

    for sharp in sharpen_grey(luma, generator, tile):
        rows = slice(first, first + len(sharp) // generator.scale)
        tints = (_enlarge(partial(tint, channel=n), rows, len(values), generator.scale) for n in range(3))
        yield np.stack([sharp + one for one in tints], axis=-1)
        first = rows.stop


def as_values(stored: Stored | Values) -> Values:
    """A copy to calculate with: double precision where single would lose bits."""
    return stored.astype(np.float64 if stored.dtype.itemsize > 2 and stored.dtype != np.float32 else np.float32)


def _luma(values: Stored | Values) -> Values:
    total = np.zeros(values.shape[:2], as_values(values[:1, :1]).dtype)
    for channel, weight in enumerate(LUMA_WEIGHTS):
        total += as_values(values[..., channel]) * weight
    return total


def _range(values: Stored | Values, percentiles: tuple[float, float]) -> tuple[float, float]:
    """What becomes 0 and 1; a width of 1 where all values are one, as in a film's blank frame."""
    if values.min() == values.max():
        return float(values.min()), float(values.min()) + 1
    return percentile_range(values, *percentiles)


def _sharpen_unit(
    unit: Callable[[int, int], Values], shape: tuple[int, ...], generator: Generator, tile: int
) -> Iterator[Values]:
    """The network's answer to `unit`, with what lies outside [0, 1] of it; `unit(start, stop)` gives these rows."""

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
    """The `rows` that `take` gives, enlarged as they would be in the whole image of `height` rows."""
    above, below = max(0, rows.start - REACH), min(height, rows.stop + REACH)
    values = take(above, below)
    if not values.any():
        return np.zeros((len(range(*rows.indices(height))) * scale, values.shape[1] * scale), values.dtype)
    large = enlarge(values.astype(np.float32, copy=False), scale)
    return large[(rows.start - above) * scale : (rows.stop - above) * scale].astype(values.dtype, copy=False)
