"""One frame, in its own values, sharpened by a network that knows images in [0, 1] and bright for dense.

What lies outside the frame's percentile range is not shown to the network and not lost either: it is enlarged
bicubically and added. Colour goes through bicubically, lightness through the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from components.imaging.degradation import enlarge
from components.imaging.intensity import LUMA_WEIGHTS, percentile_range
from components.learning.generator import Generator
from components.learning.tiling import sharpen_tiled

TILE, OVERLAP = 192, 32  # low-resolution pixels

Values = NDArray[np.floating[Any]]  # float64 for more bits than 24; what comes out is as what went in


def sharpen_grey(
    values: Values,
    generator: Generator,
    tile: int = TILE,
    mirrored: bool = False,
    padding: NDArray[np.bool_] | None = None,
) -> Values:
    """`values` (rows, columns) with `generator.scale` times as many of both, in the same unit, not rounded.

    `mirrored` says that larger values are darker (MONOCHROME1). Pixels under `padding` hold no image: they take no
    part in the range and count as background; what comes out in their place is not an image either.
    """
    low, high = _range(values if padding is None or padding.all() else values[~padding], generator.percentiles)
    unit = ((values - low) / (high - low)).astype(values.dtype)
    if mirrored:
        unit = 1 - unit
    if padding is not None:
        unit[padding] = 0
    sharp = _sharpen_unit(unit, generator, tile)  # a radiograph of sixteen times the pixels: in place from here on
    if mirrored:
        np.subtract(1, sharp, out=sharp)
    sharp *= high - low
    sharp += low
    return sharp


def sharpen_colour(values: Values, generator: Generator, tile: int = TILE) -> Values:
    """`values` (rows, columns, 3) as RGB, with `generator.scale` times as many rows and columns.

    Differences from luma are enlarged bicubically, which is the same as enlarging both chroma components.
    """
    luma = (values @ np.array(LUMA_WEIGHTS)).astype(values.dtype)
    sharp = sharpen_grey(luma, generator, tile)
    return np.stack([sharp + _enlarge(values[..., c] - luma, generator.scale) for c in range(3)], axis=-1)


def _range(values: Values, percentiles: tuple[float, float]) -> tuple[float, float]:
    """What becomes 0 and 1; a width of 1 where all values are one, as in a film's blank frame."""
    narrow = values.astype(np.float32, copy=False)
    if narrow.min() == narrow.max():
        return float(values.min()), float(values.min()) + 1
    return percentile_range(narrow, *percentiles)


def _sharpen_unit(unit: Values, generator: Generator, tile: int) -> Values:
    inside = np.clip(unit, 0, 1)
    image = torch.from_numpy(inside.astype(np.float32))[None, None]
    tiled = sharpen_tiled(generator.network, image, generator.scale, tile, overlap=min(OVERLAP, tile // 4))
    sharp: Values = tiled[0, 0].numpy().astype(unit.dtype, copy=False)
    excess = unit - inside
    if excess.any():
        sharp += _enlarge(excess, generator.scale)
    return sharp


def _enlarge(values: Values, scale: int) -> Values:
    return enlarge(values.astype(np.float32, copy=False), scale).astype(values.dtype, copy=False)
