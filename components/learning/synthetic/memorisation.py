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
ALLOWED = 0.05  # of held-out images lie as near as a copy does; the nearest alone could be one patient under two names
SIDE, SHIFT = 64, 3  # pixels: to which images are averaged before they are shifted, and by how many at most


@dataclass(frozen=True)
class Nearness:
    """How far generated and held-out images lie from the nearest training image."""

    distances: NDArray[np.float64]  # (generated,)
    nearest: NDArray[np.int64]  # (generated,), places of the training images
    held_out: NDArray[np.float64]  # distances (held out,)

    @property
    def too_near(self) -> NDArray[np.bool_]:
        return np.asarray(self.distances < np.quantile(self.held_out, ALLOWED))


@dataclass(frozen=True)
class Memorisation:
    """What generated images have of training ones, against what other patients' images have.

    `plain` compares pixel by pixel; `moved` after every shift of a few pixels, mirrored as well, brightness apart.
    Distances are root mean squared differences. A generated image is a copy where either is smaller than nearly all
    held-out images' is; one that was enlarged as well may pass.
    """

    plain: Nearness
    moved: Nearness

    @property
    def copies(self) -> NDArray[np.bool_]:
        return np.asarray(self.plain.too_near | self.moved.too_near)

    @property
    def farther_share(self) -> float:
        """How often a generated image lies farther from its nearest patient than a held-out one; 0.5 if alike."""
        generated, held_out = self.plain.distances, self.plain.held_out
        return auroc(np.repeat([True, False], [len(generated), len(held_out)]), np.concatenate([generated, held_out]))

    @property
    def z(self) -> float:
        """The Mann-Whitney statistic of that share, standard normal where generated and held-out images are alike.

        Far below 0 generated images lie nearer throughout (Meehan, Chaudhuri & Dasgupta 2020, arXiv:2004.05675): they
        copy, or they are blurred, for the mean of all patients lies near everyone.
        """
        generated, held_out = len(self.plain.distances), len(self.plain.held_out)
        return (self.farther_share - 0.5) / math.sqrt((generated + held_out + 1) / (12 * generated * held_out))


def memorisation(generated: Tensor, training: Tensor, held_out: Tensor) -> Memorisation:
    """What `generated` images have of `training` ones, all (N, C, S, S) in [0, 1]; `held_out` are other patients'."""
    plain = [image.flatten(1) for image in (generated, training, held_out)]
    small = [_small(images) for images in (generated, training, held_out)]
    patients = _middle(small[1], SHIFT, SHIFT)
    moved = [[_nearest(view, patients) for view in _views(images)] for images in (small[0], small[2])]
    return Memorisation(
        Nearness(*_nearest(plain[0], plain[1]), _nearest(plain[2], plain[1])[0]),
        Nearness(*_least(moved[0]), _least(moved[1])[0]),
    )


def _small(images: Tensor) -> Tensor:
    side = min(SIDE, images.shape[-1])
    return F.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), side)


def _views(images: Tensor) -> list[Tensor]:
    """Every shift of `images` by up to `SHIFT` pixels either way, of them and of their mirror images."""
    places = range(2 * SHIFT + 1)
    return [_middle(one, row, column) for one in (images, images.flip(-1)) for row, column in product(places, places)]


def _middle(images: Tensor, row: int, column: int) -> Tensor:
    """The part (N, pixels) that begins at `row` and `column`, its mean taken out."""
    height, width = (side - 2 * SHIFT for side in images.shape[-2:])
    part = images[..., row : row + height, column : column + width].flatten(1)
    return part - part.mean(1, keepdim=True)


def _least(found: list[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    distances, nearest = (np.stack(one) for one in zip(*found, strict=True))
    first, own = distances.argmin(0), np.arange(distances.shape[1])
    return distances[first, own], nearest[first, own]


def _nearest(pixels: Tensor, among: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Root mean squared distance (N,) of each of `pixels` (N, P) to the nearest of `among` (M, P), and which it is."""
    rows = [
        torch.cat([torch.cdist(part.double(), some.double()) for some in torch.split(among, BATCH)], 1).min(1)
        for part in torch.split(pixels, BATCH)
    ]
    distances = torch.cat([row.values for row in rows]) / math.sqrt(pixels.shape[1])
    return distances.numpy(), torch.cat([row.indices for row in rows]).numpy()
