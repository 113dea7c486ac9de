"""Pictures for people: grey images, error maps and the part worth enlarging."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ERROR_WHITE = 0.1  # an error of a tenth of the range is shown at full brightness
HEAT_COVERS = 0.6  # of the picture below, where the heat is greatest
LONGEST_SIDE = 512  # pixels; a page of full-size radiographs would weigh tens of megabytes


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, in pixels."""

    row: int
    column: int
    height: int
    width: int

    def cut(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        return image[self.row : self.row + self.height, self.column : self.column + self.width]


def zoom_window(image: NDArray[np.float32], body: NDArray[np.bool_], side: int = 128) -> Window:
    """The square with the most edges inside the body: where methods differ, chosen by rule and not by hand."""
    height, width = (min(side, length) for length in image.shape)
    edges = np.hypot(*np.gradient(image)) * body
    sums = np.pad(edges.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return Window(int(row), int(column), height, width)


def save_grey(path: Path, image: NDArray[np.float32]) -> None:
    """An 8-bit PNG of an image in [0, 1], (rows, columns); longer sides than 512 pixels are reduced."""
    _save(path, np.clip(image, 0, 1))


def save_error(path: Path, error: NDArray[np.float32]) -> None:
    """A PNG of absolute errors; white is a tenth of the range or more."""
    _save(path, np.clip(error / ERROR_WHITE, 0, 1))


def save_heat(path: Path, image: NDArray[np.float32], heat: NDArray[np.float32]) -> None:
    """A colour PNG of `image` (rows, columns) with `heat`, as large and in [0, 1], over it: clear, red, then yellow."""
    strength = np.clip(heat, 0, 1)[..., None]
    colour = np.concatenate([np.ones_like(strength), strength, np.zeros_like(strength)], 2)
    cover = HEAT_COVERS * strength
    _save(path, np.clip(image, 0, 1)[..., None] * (1 - cover) + colour * cover)


def _save(path: Path, unit: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray((unit * 255).round().astype(np.uint8))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    picture.save(path, optimize=True)
