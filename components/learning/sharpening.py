"""One frame, in its own values, sharpened by a network that knows images in [0, 1] and bright for dense.

What lies outside the frame's percentile range is not shown to the network and not lost either: it is enlarged
bicubically and added. Colour goes through bicubically, lightness through the network. Results come in bands of rows, so
that a radiograph of sixteen times the pixels is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from components.imaging.degradation import enlarge
from components.imaging.intensity import LUMA_WEIGHTS, percentile_range
from components.learning.generator import Generator
from components.learning.tiling import OVERLAP, TILE, sharpen_bands

AT_ONCE = 32  # rows that are enlarged bicubically in one go, in double precision
REACH = 3  # rows beyond its own that bicubic enlargement of a band looks at

Values = NDArray[np.floating[Any]]  # float64 for more bits than 24; what comes out is as what went in


def sharpen_grey(
    values: Values,
    generator: Generator,
    tile: int = TILE,
    mirrored: bool = False,
    padding: NDArray[np.bool_] | None = None,
) -> Iterator[Values]:
    """`values` (rows, columns) with `generator.scale` times as many of both, in the same unit, not rounded.

    They come as bands of whole rows, from top to bottom. `mirrored` says that larger values are darker (MONOCHROME1).
    Pixels under `padding` hold no image: they take no part in the range and count as background; what comes out in
    their place is not an image either.
    """
    low, high = _range(values if padding is None or padding.all() else values[~padding], generator.percentiles)
    unit = ((values - low) / (high - low)).astype(values.dtype, copy=False)
    del values  # of a radiograph, two copies in memory are enough
    if mirrored:
        np.subtract(1, unit, out=unit)
    if padding is not None:
        unit[padding] = 0
    for sharp in _sharpen_unit(unit, generator, tile):
        if mirrored:
            np.subtract(1, sharp, out=sharp)
        sharp *= high - low
        sharp += low
        yield sharp


def sharpen_colour(values: Values, generator: Generator, tile: int = TILE) -> Iterator[Values]:
    """`values` (rows, columns, 3) as RGB, with `generator.scale` times as many rows and columns, in bands of rows.

    Differences from luma are enlarged bicubically, which is the same as enlarging both chroma components.
    """
    luma = (values @ np.array(LUMA_WEIGHTS)).astype(values.dtype)
    tints, first = [values[..., channel] - luma for channel in range(3)], 0
    for sharp in sharpen_grey(luma, generator, tile):
        rows = slice(first, first + len(sharp) // generator.scale)
        yield np.stack([sharp + _enlarge(tint, rows, generator.scale) for tint in tints], axis=-1)
        first = rows.stop


def _range(values: Values, percentiles: tuple[float, float]) -> tuple[float, float]:
    """What becomes 0 and 1; a width of 1 where all values are one, as in a film's blank frame."""
    narrow = values.astype(np.float32, copy=False)
    if narrow.min() == narrow.max():
        return float(values.min()), float(values.min()) + 1
    return percentile_range(narrow, *percentiles)


def _sharpen_unit(unit: Values, generator: Generator, tile: int) -> Iterator[Values]:
    inside = torch.from_numpy(np.clip(unit, 0, 1, dtype=np.float32))
    outside, first = unit.min() < 0 or unit.max() > 1, 0
    for band in sharpen_bands(generator.network, inside[None, None], generator.scale, tile, min(OVERLAP, tile // 4)):
        sharp: Values = band[0, 0].numpy().astype(unit.dtype, copy=False)
        rows = len(sharp) // generator.scale
        for row in range(0, rows if outside else 0, AT_ONCE):
            part = slice(first + row, first + min(row + AT_ONCE, rows))
            place = sharp[row * generator.scale : (row + AT_ONCE) * generator.scale]
            place += _enlarge(unit, part, generator.scale, excess=True)
        yield sharp
        first += rows


def _enlarge(values: Values, rows: slice, scale: int, excess: bool = False) -> Values:
    """The `rows` of `values`, or of what lies outside [0, 1] of them, enlarged as they would be in the whole."""
    above, below = max(0, rows.start - REACH), min(len(values), rows.stop + REACH)
    part = values[above:below]
    large = enlarge((part - np.clip(part, 0, 1) if excess else part).astype(np.float32), scale)
    return large[(rows.start - above) * scale : (rows.stop - above) * scale].astype(values.dtype, copy=False)
