"""Whether made images copy the patients they were learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.learning.ranking import auroc

BATCH = 64


@dataclass(frozen=True)
class Copying:
    """Distances to the nearest training image: of made images, against those of held-out patients.

    A distance is the root mean squared difference of pixels. Made images that lie nearer than any held-out one does are
    `copies`; `z` below -2 says that made images lie nearer throughout (Meehan, Chaudhuri & Dasgupta 2020,
    arXiv:2004.05675).
    """

    distances: NDArray[np.float64]  # (made,)
    nearest: NDArray[np.int64]  # (made,), places of the training images
    held_out: NDArray[np.float64]  # distances (held out,)

    @property
    def copies(self) -> NDArray[np.bool_]:
        return np.asarray(self.distances < self.held_out.min())

    @property
    def farther_share(self) -> float:
        """How often a made image lies farther from its nearest patient than a held-out one; 0.5 if alike."""
        truth = np.repeat([True, False], [len(self.distances), len(self.held_out)])
        return auroc(truth, np.concatenate([self.distances, self.held_out]))

    @property
    def z(self) -> float:
        """The Mann-Whitney statistic of that share, standard normal where they are alike."""
        made, held_out = len(self.distances), len(self.held_out)
        return (self.farther_share - 0.5) / math.sqrt((made + held_out + 1) / (12 * made * held_out))


def copying(made: Tensor, training: Tensor, held_out: Tensor) -> Copying:
    """What `made` images have of `training` ones, all (N, C, S, S) in [0, 1]; `held_out` are other patients'."""
    distances, nearest = _nearest(made, training)
    return Copying(distances, nearest, _nearest(held_out, training)[0])


def _nearest(images: Tensor, among: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    pixels = among.flatten(1).double()
    parts = [torch.cdist(part.flatten(1).double(), pixels).min(1) for part in torch.split(images, BATCH)]
    distances = torch.cat([part.values for part in parts]) / math.sqrt(pixels.shape[1])
    return distances.numpy(), torch.cat([part.indices for part in parts]).numpy()
