"""Folders of natural pictures drawn by code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.drawing import shapes


def colour(rows: int, columns: int, seed: int) -> NDArray[np.uint8]:
    """A picture with another structure in each colour, (rows, columns, 3)."""
    planes = [shapes(rows, columns, seed=3 * seed + channel) for channel in range(3)]
    return np.asarray((np.stack(planes, axis=-1) * 255).round(), np.uint8)


def write(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def folder(path: Path, count: int, first: int = 0, suffix: str = ".png") -> Path:
    """`count` colour pictures of odd sizes; `first` is the number of the first one, and no two numbers look alike."""
    for number in range(first, first + count):
        write(path / f"picture_{number}{suffix}", colour(67 + 4 * number, 75 + number, number))
    return path
