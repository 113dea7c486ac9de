"""The rays of a parallel beam through a simulated chest, and what simple bodies lay in their way. Lengths are in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from components.simulation.anatomy import Anatomy

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Grid:
    """Where each ray crosses the picture: `x` and `z` of every pixel, and the pixel's side."""

    x: Array
    z: Array
    spacing: float
    anatomy: Anatomy

    def chord(self, cx: float, cz: float, a: float, c: float, depth: float, tilt: float = 0.0) -> Array:
        """Path through an ellipsoid with half axes `a`, `c` in the picture and `depth` along the ray."""
        dx, dz = self.x - cx, self.z - cz
        u = (dx * np.cos(tilt) + dz * np.sin(tilt)) / a
        v = (dz * np.cos(tilt) - dx * np.sin(tilt)) / c
        return np.asarray(2 * depth * np.sqrt(np.clip(1 - u * u - v * v, 0, None)))

    def pour(self, x: Array, z: Array, volume: Array, width: float) -> Array:
        """Path length from points of some volume (mm³) each, smeared to a Gaussian of deviation `width`."""
        column, row = self._position(x, z)
        side = self.x.shape[0]
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        cells = row[inside] * side + column[inside]
        poured = np.bincount(cells, volume[inside], side * side).reshape(side, side)
        smeared = gaussian_filter(poured.astype(np.float32), width / self.spacing, mode="constant", truncate=3)
        return np.asarray(smeared / self.spacing**2)

    def _position(self, x: Array, z: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        cos, sin = np.cos(self.anatomy.rotation), np.sin(self.anatomy.rotation)
        across, up = x * cos + z * sin - self.anatomy.centre[0], z * cos - x * sin - self.anatomy.centre[1]
        middle = self.x.shape[0] / 2
        column, row = np.floor(across / self.spacing + middle), np.floor(middle - up / self.spacing)
        return column.astype(np.int64), row.astype(np.int64)


def make_grid(anatomy: Anatomy, size: int) -> Grid:
    """Rays through the centres of `size` by `size` pixels over the anatomy's field."""
    spacing = anatomy.field / size
    steps = (np.arange(size) + 0.5 - size / 2) * spacing
    across, up = steps[None, :] + anatomy.centre[0], -steps[:, None] + anatomy.centre[1]
    cos, sin = np.cos(anatomy.rotation), np.sin(anatomy.rotation)
    x, z = across * cos - up * sin, up * cos + across * sin
    return Grid(x.astype(np.float32), z.astype(np.float32), spacing, anatomy)
