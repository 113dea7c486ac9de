"""Dead leaves: synthetic images without anatomy, whose edges and scales are spread as those of the visible world.

Opaque shapes of every size fall on one another until the plane is covered (Matheron 1968; Lee, Mumford & Huang, IJCV
41, 2001). Networks that restore images learn from them almost what they learn from photographs (Achddou, Gousseau &
Ladjal, "Synthetic images as a regularity prior for image restoration neural networks", SSVM 2021), so they can lend
variety to a small set of real images without showing anybody.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

LEAST_RADIUS, LARGEST_RADIUS = 3.0, 200.0  # pixels; densities fall with the third power of the radius
SHAPES_PER_PIXEL = 0.025  # covers all but a few percent
EDGE = (0.3, 1.2)  # standard deviation of the edges' blur, in pixels
NOISE = 0.01  # standard deviation at most, as a share of the range

Image = NDArray[np.float32]


def dead_leaves(seed: int, number: int, side: int) -> Image:
    """Image `number` of a series, (side, side) in [0, 1]; the same for the same seed and number."""
    random = np.random.default_rng((seed, number))
    image = np.full((side, side), random.random(), np.float32)
    count = int(SHAPES_PER_PIXEL * side**2)
    for radius in _radii(random, count):
        _drop(image, float(radius), random)
    soft = gaussian_filter(image, random.uniform(*EDGE))
    noisy = soft + random.normal(0, random.uniform(0, NOISE), soft.shape)
    result: Image = np.clip(noisy, 0, 1).astype(np.float32)
    return result


def _radii(random: Generator, count: int) -> NDArray[np.float64]:
    """Radii whose density falls as r^-3 between the limits, by the inverse of its distribution."""
    low, high = LEAST_RADIUS**-2, LARGEST_RADIUS**-2
    radii: NDArray[np.float64] = (low - random.random(count) * (low - high)) ** -0.5
    return radii


def _drop(image: Image, radius: float, random: Generator) -> None:
    """Covers an ellipse or a band with a grey that changes slowly across it."""
    row, column = random.uniform(0, image.shape[0]), random.uniform(0, image.shape[1])
    turn, flat = random.uniform(0, np.pi), random.uniform(0.15, 1)
    reach = int(np.ceil(radius)) + 1
    top, left = max(0, int(row) - reach), max(0, int(column) - reach)
    y, x = np.ogrid[top : int(row) + reach + 1, left : int(column) + reach + 1]
    y, x = y[: image.shape[0] - top] - row, x[:, : image.shape[1] - left] - column
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    straight = random.random() < 0.3
    inside = (
        (abs(along) < radius) & (abs(across) < flat * radius)
        if straight
        else (along**2 + (across / flat) ** 2 < radius**2)
    )
    grey = random.random() + random.uniform(-0.3, 0.3) * along / max(radius, 1)
    place = image[top : top + inside.shape[0], left : left + inside.shape[1]]
    place[inside] = np.broadcast_to(grey, inside.shape)[inside]
