"""One frame, in its own values, sharpened by a network that knows images in [0, 1] and bright for dense.

What lies outside the frame's percentile range is not shown to the network and not lost either: it is enlarged
bicubically and added. Colour goes through bicubically, lightness through the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from components.imaging.degradation import enlarge
from components.learning.tiling import sharpen_tiled

PERCENTILES = (0.1, 99.9)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
TILE, OVERLAP = 192, 32  # low-resolution pixels

Values = NDArray[np.float64]  # float64, because 32 stored bits do not fit in float32


@dataclass(frozen=True)
class Generator:
    """A network that sharpens, and what it is called where it is registered."""

    network: nn.Module  # (B, 1, H, W) in [0, 1] to (B, 1, H * scale, W * scale)
    scale: int
    name: str
    version: str


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
    low, high = _range(values if padding is None or padding.all() else values[~padding])
    unit = (values - low) / (high - low)
    if mirrored:
        unit = 1 - unit
    if padding is not None:
        unit[padding] = 0
    sharp = _sharpen_unit(unit, generator, tile)
    if mirrored:
        sharp = 1 - sharp
    return sharp * (high - low) + low


def sharpen_colour(values: Values, generator: Generator, tile: int = TILE) -> Values:
    """`values` (rows, columns, 3) as RGB, with `generator.scale` times as many rows and columns.

    Differences from luma are enlarged bicubically, which is the same as enlarging both chroma components.
    """
    luma = values @ np.array(LUMA)
    sharp = sharpen_grey(luma, generator, tile)
    chroma = [_enlarge(values[..., channel] - luma, generator.scale) for channel in range(3)]
    return sharp[..., None] + np.stack(chroma, axis=-1)


def _range(values: Values) -> tuple[float, float]:
    """Percentiles; the extremes where those coincide, and a width of 1 where all values do."""
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    if low == high:
        low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low, low + 1)


def _sharpen_unit(unit: Values, generator: Generator, tile: int) -> Values:
    inside = np.clip(unit, 0, 1)
    image = torch.from_numpy(inside.astype(np.float32))[None, None]
    overlap = min(OVERLAP, tile // 4)
    sharp = sharpen_tiled(generator.network, image, generator.scale, tile, overlap)[0, 0].numpy().astype(np.float64)
    excess = unit - inside
    return sharp + _enlarge(excess, generator.scale) if excess.any() else sharp


def _enlarge(values: Values, scale: int) -> Values:
    return enlarge(values.astype(np.float32), scale).astype(np.float64)
