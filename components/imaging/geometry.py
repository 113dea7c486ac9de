"""Which part of an image, and which frames of a series of them. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.imaging.degradation import resize


def crop_to_multiple(image: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """The middle of `image` (rows, columns) with both sides a multiple; an odd pixel is lost at the bottom and right.

    Raises `ValueError` where a side is shorter than `multiple`.
    """
    rows, columns = (length - length % multiple for length in image.shape)
    if not rows or not columns:
        raise ValueError(f"expected sides of at least {multiple} pixels, found {image.shape[0]} x {image.shape[1]}")
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return image[top : top + rows, left : left + columns]


def content_box(image: NDArray[np.float32], tolerance: float) -> tuple[slice, slice]:
    """Rows and columns without the blank border: outer lines whose values differ by no more than `tolerance`.

    Blanked surrounds (ultrasound, collimation) are learned at once and would flatter every score. Both slices are
    empty where every line is blank.
    """
    rows = _inner(np.ptp(image, axis=1) > tolerance)
    columns = _inner(np.ptp(image[rows], axis=0) > tolerance) if rows.stop else slice(0, 0)
    return (rows, columns) if columns.stop else (slice(0, 0), slice(0, 0))


def _inner(lively: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(lively)
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)


def fit_square(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """All of `image` (rows, columns) in [0, 1], in the middle of a black (size, size), its aspect kept."""
    longest = max(image.shape)
    rows, columns = (max(1, round(length * size / longest)) for length in image.shape)
    top, left = (size - rows) // 2, (size - columns) // 2
    square = np.zeros((size, size), np.float32)
    square[top : top + rows, left : left + columns] = np.clip(resize(image, rows, columns), 0, 1)
    return square


def planes_of(image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The channels of `image`, each (rows, columns): one of (rows, columns), three of (rows, columns, 3)."""
    return [np.ascontiguousarray(plane) for plane in (np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None])]


def fit_channels(planes: Sequence[NDArray[np.float32]], size: int, channels: int) -> NDArray[np.float32]:
    """Each of `planes` (rows, columns) as `fit_square` makes it: (channels, size, size), a single one repeated.

    Raises `ValueError` where several are to become another number of channels.
    """
    if len(planes) not in (1, channels):
        raise ValueError(f"expected 1 or {channels} channel(s), found {len(planes)}")
    return np.broadcast_to(np.stack([fit_square(plane, size) for plane in planes]), (channels, size, size)).copy()


def frames_to_take(frames: int, wanted: int) -> tuple[int, ...]:
    """Numbers of at most `wanted` frames, from 0, ascending: the middles of as many equal stretches."""
    if frames < 1 or wanted < 1:
        raise ValueError(f"expected one frame or more, found {frames} frames of which {wanted} are wanted")
    taken = min(frames, wanted)
    return tuple((2 * number + 1) * frames // (2 * taken) for number in range(taken))
