"""Whether generated images copy the patients they were learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from components.learning.metrics.ranking import auroc

BATCH = 64
ALLOWED = 0.05  # quantile of held-out distances below which an image is a copy; a patient may have two names
SIDE, SHIFT = 64, 3  # pixels: the side to which images are averaged, and the largest shift


@dataclass(frozen=True)
class Nearness:
    """Distances of generated and held-out images to their nearest training images."""

    distances: NDArray[np.float64]  # (generated,)
    nearest: NDArray[np.int64]  # (generated,), indices of the training images
    held_out: NDArray[np.float64]  # (held out,), distances

    @property
    def too_near(self) -> NDArray[np.bool_]:
        return np.asarray(self.distances < np.quantile(self.held_out, ALLOWED))


@dataclass(frozen=True)
class Memorisation:
    """How near generated images are to training images, compared with other patients' images.

    `plain` compares pixel by pixel. `moved` takes the best of all small shifts and mirror images, brightness removed.
    Distances are root mean squared differences. A generated image is a copy where either distance is smaller than
    nearly all held-out images' distances. A copy that was also enlarged may pass.
    """

    plain: Nearness
    moved: Nearness

    @property
    def copies(self) -> NDArray[np.bool_]:
        return np.asarray(self.plain.too_near | self.moved.too_near)

    @property
    def farther_share(self) -> float:
        """How often a generated image is farther from its nearest patient than a held-out one; 0.5 where alike."""
        generated, held_out = self.plain.distances, self.plain.held_out
        return auroc(np.repeat([True, False], [len(generated), len(held_out)]), np.concatenate([generated, held_out]))

    @property
    def z(self) -> float:
        """The Mann-Whitney statistic of that share, standard normal where generated and held-out images are alike.

        Far below 0 generated images are nearer throughout (Meehan, Chaudhuri & Dasgupta 2020, arXiv:2004.05675). They
        are copies, or blurred: the mean of all patients is near each of them.
        """
        generated, held_out = len(self.plain.distances), len(self.plain.held_out)
        return (self.farther_share - 0.5) / math.sqrt((generated + held_out + 1) / (12 * generated * held_out))


def memorisation(generated: Tensor, training: Tensor, held_out: Tensor) -> Memorisation:
    """Compares `generated` and `held_out` images with `training` ones, all (N, C, S, S) in [0, 1]."""
    plain = [image.flatten(1) for image in (generated, training, held_out)]
    small = [_small(images) for images in (generated, training, held_out)]
    patients = _middle(small[1], SHIFT, SHIFT)
    moved = [[_nearest(view, patients) for view in _views(images)] for images in (small[0], small[2])]
    return Memorisation(
        Nearness(*_nearest(plain[0], plain[1]), _nearest(plain[2], plain[1])[0]),
        Nearness(*_best(moved[0]), _best(moved[1])[0]),
    )


def _small(images: Tensor) -> Tensor:
    side = min(SIDE, images.shape[-1])
    return F.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), side)


def _views(images: Tensor) -> list[Tensor]:
    """`images` and their mirror images, each shifted by up to `SHIFT` pixels in every direction."""
    corners = list(product(range(2 * SHIFT + 1), repeat=2))
    return [_middle(view, row, column) for view in (images, images.flip(-1)) for row, column in corners]


def _middle(images: Tensor, row: int, column: int) -> Tensor:
    """The part (N, pixels) that begins at `row` and `column`, minus its mean."""
    height, width = (side - 2 * SHIFT for side in images.shape[-2:])
    part = images[..., row : row + height, column : column + width].flatten(1)
    return part - part.mean(1, keepdim=True)


def _best(views: list[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of several views of the same images the smallest distance of each image, and the training image's index."""
    distances, nearest = (np.stack(values) for values in zip(*views, strict=True))
    best, columns = distances.argmin(0), np.arange(distances.shape[1])
    return distances[best, columns], nearest[best, columns]


def _nearest(images: Tensor, candidates: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Root mean squared distance (N,) of `images` (N, P) to the nearest of `candidates` (M, P), and its index."""
    minima = [
        torch.cat([torch.cdist(batch.double(), part.double()) for part in torch.split(candidates, BATCH)], 1).min(1)
        for batch in torch.split(images, BATCH)
    ]
    distances = torch.cat([minimum.values for minimum in minima]) / math.sqrt(images.shape[1])
    return distances.numpy(), torch.cat([minimum.indices for minimum in minima]).numpy()
