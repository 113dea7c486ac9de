"""Images to measure on, drawn by code: a bright body with structure, of any size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from components.handover import PreparedRow
from components.learning.datasets.pairs import Pair

UNIT = 384  # pixels: larger images repeat one of this side, so that every size has the same content
PAIRS, SIDE = 6, 512  # images to train on, and about how large: what the default source comes to


def image(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    """(rows, columns) in [0, 1]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:UNIT, 0:UNIT].astype(np.float32) / UNIT - 0.5
    drawn = 0.4 * (x**2 / 0.2 + y**2 / 0.16 < 1).astype(np.float32)
    for _ in range(12):
        middle, radius = random.uniform(-0.3, 0.3, 2), random.uniform(0.02, 0.15, 2)
        drawn += random.uniform(-0.2, 0.3) * (
            ((x - middle[0]) / radius[0]) ** 2 + ((y - middle[1]) / radius[1]) ** 2 < 1
        )
    drawn += 0.03 * random.standard_normal(drawn.shape).astype(np.float32)
    repeats = (-(-rows // UNIT), -(-columns // UNIT))
    return np.tile(np.clip(drawn, 0, 1).astype(np.float32), repeats)[:rows, :columns]


def low_resolution(rows: int, columns: int) -> Tensor:
    """(1, 1, rows, columns), the input of a network."""
    return torch.from_numpy(image(rows, columns).copy())[None, None]


def pairs(scale: int) -> list[Pair]:
    """Training images with their reduced versions and bodies."""
    return [_pair(number, SIDE + 32 * number, scale) for number in range(PAIRS)]


def _pair(number: int, side: int, scale: int) -> Pair:
    high = torch.from_numpy(image(side, side, seed=number).copy())[None]
    low = F.interpolate(high[None], scale_factor=1 / scale, mode="bicubic", antialias=True)[0]
    name = f"drawn{number}"
    row = PreparedRow(
        sample_id=f"{name}-0",
        image_id=name,
        frame=0,
        patient_id=name,
        modality="CT",
        split="train",
        rows=side,
        columns=side,
        low=0.0,
        high=1.0,
        file="",
    )
    return Pair(row, low, high, high > 0.1)
