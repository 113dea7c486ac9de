"""Values of an image and the unit range that networks see, there and back. Needs numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601, full range


def luma(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness of RGB: (..., 3) to (...), in the range the colours had."""
    if image.shape[-1] != 3:
        raise ValueError(f"expected three colours on the last axis, found shape {image.shape}")
    return np.asarray(image @ np.array(LUMA_WEIGHTS, np.float32), np.float32)


def padding_of(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a blanked surround lies: pixels at the lowest value, if all four corners (of every frame) hold it.

    Scanners fill what they did not see with one low value (outside the fan of an ultrasound, outside the circle of a
    CT); counted in, it would decide the range of the image. `image` is (..., rows, columns).
    """
    corners = image[..., :: max(image.shape[-2] - 1, 1), :: max(image.shape[-1] - 1, 1)]
    lowest = image.min()
    return np.asarray(image == lowest) if (corners == lowest).all() else np.zeros(image.shape, bool)


def percentile_range(
    image: NDArray[np.floating[Any] | np.integer[Any]],
    low: float,
    high: float,
    padding: NDArray[np.bool_] | None = None,
) -> tuple[float, float]:
    """The values at the percentiles `low` and `high`, padding left out; always two different ones.

    Where both percentiles meet (a few bright spots on nothing) the least and the greatest value take their place.
    Raises `ValueError` where the image is one value everywhere.
    """
    values = image if padding is None else image[~padding]
    ends = np.percentile(values, (low, high)) if values.size else (0.0, 0.0)
    if not ends[0] < ends[1]:
        ends = (image.min(), image.max())
    if not ends[0] < ends[1]:
        raise ValueError(f"expected an image with at least two values, every one of its pixels is {float(ends[0]):g}")
    return float(ends[0]), float(ends[1])


def to_unit(image: NDArray[np.float32], low: float, high: float, clip: bool = True) -> NDArray[np.float32]:
    """`image` with `low` at 0 and `high` at 1; what lies outside is cut off, or kept where `clip` is false."""
    if not low < high:
        raise ValueError(f"expected low below high, found {low:g} and {high:g}")
    unit = (image.astype(np.float64) - low) / (high - low)
    return np.asarray(np.clip(unit, 0, 1) if clip else unit, np.float32)


def from_unit(unit: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """The values that `to_unit` took, as far as it did not cut them off."""
    return np.asarray(unit.astype(np.float64) * (high - low) + low, np.float32)
