"""Pairs of patches for super-resolution: images stay in device memory, patches are cut and turned there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from components.handover import PreparedRow, StepError, read_rows

ANYWHERE = 0.25  # share of patches that need not show the body


@dataclass(frozen=True)
class Pair:
    """One frame: `low` `(1, h, w)` and `high` `(1, scale * h, scale * w)` float32 in about [0, 1]; `body` bool."""

    row: PreparedRow
    low: Tensor
    high: Tensor
    body: Tensor


def load_pairs(folder: Path, split: str, scale: int) -> list[Pair]:
    """All frames of one side of the split. Raises `StepError` where there are none, or none at that scale."""
    rows = [row for row in read_rows(folder / "index.csv", PreparedRow) if row.split == split]
    if not rows:
        raise StepError(
            f"{folder / 'index.csv'}: expected images in the {split} split, found none. See data/splits.csv."
        )
    return [_pair(folder, row, scale) for row in rows]


def _pair(folder: Path, row: PreparedRow, scale: int) -> Pair:
    with np.load(folder / row.file, allow_pickle=False) as arrays:
        name = f"lr_x{scale}"
        if name not in arrays:
            raise StepError(f"{row.file}: expected {name}, found {', '.join(arrays)}. Add {scale} to prepare.scales.")
        low, high, body = (torch.from_numpy(arrays[key]).unsqueeze(0) for key in (name, "hr", "mask"))
    return Pair(row, low, high, body)


class Patches:
    """Draws batches of patch pairs; the batch of a step depends on the seed and the step alone, so resuming is exact.

    Images are drawn in proportion to their side length: between every image alike, which repeats the small ones, and
    every pixel alike, which forgets them. Three of four patches are centred in the body, one lies anywhere, so that
    flat ground is learned too. Each pair is turned by one of the eight symmetries of the square, half are inverted:
    the degradation is linear, so both sides stay a pair. `patch` counts high-resolution pixels.
    """

    def __init__(self, pairs: list[Pair], scale: int, patch: int, batch: int, seed: int, device: torch.device) -> None:
        self._scale, self._side, self._batch, self._seed = scale, patch // scale, batch, seed
        padded = [_at_least(pair, self._side, scale) for pair in pairs]
        self._low = [low.to(device) for low, _, _ in padded]
        self._high = [high.to(device) for _, high, _ in padded]
        self._corners = [_corners(body, self._side, scale) for _, _, body in padded]
        lengths = np.array([np.sqrt(low[0].numel()) for low, _, _ in padded])
        self._chances = lengths / lengths.sum()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """`(B, 1, h, w)` and `(B, 1, scale * h, scale * w)` for step number `step`."""
        random = np.random.default_rng((self._seed, step))
        drawn = [self._draw(random) for _ in range(self._batch)]
        return torch.stack([low for low, _ in drawn]), torch.stack([high for _, high in drawn])

    def _draw(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        image = int(random.choice(len(self._low), p=self._chances))
        row, column = self._corner(image, random)
        turns, mirror, inverted = int(random.integers(4)), bool(random.integers(2)), bool(random.integers(2))
        low = _cut(self._low[image], row, column, self._side)
        high = _cut(self._high[image], row * self._scale, column * self._scale, self._side * self._scale)
        low, high = _turned(low, turns, mirror), _turned(high, turns, mirror)
        return (1 - low, 1 - high) if inverted else (low, high)

    def _corner(self, image: int, random: np.random.Generator) -> tuple[int, int]:
        if random.random() < ANYWHERE:
            height, width = self._low[image].shape[1:]
            return int(random.integers(height - self._side + 1)), int(random.integers(width - self._side + 1))
        corners = self._corners[image]
        row, column = corners[int(random.integers(len(corners)))]
        return int(row), int(column)


def _cut(image: Tensor, row: int, column: int, side: int) -> Tensor:
    return image[:, row : row + side, column : column + side]


def _turned(image: Tensor, turns: int, mirror: bool) -> Tensor:
    turned = torch.rot90(image, turns, (1, 2))
    return turned.flip(2) if mirror else turned


def _at_least(pair: Pair, side: int, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pair, mirrored outwards where it is smaller than a patch; mirroring commutes with the degradation."""
    short = [max(0, side - length) for length in pair.low.shape[1:]]
    if not any(short):
        return pair.low, pair.high, pair.body
    return (
        _mirrored(pair.low, short),
        _mirrored(pair.high, [scale * length for length in short]),
        _mirrored(pair.body, [scale * length for length in short]),
    )


def _mirrored(image: Tensor, more: list[int]) -> Tensor:
    return torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, more[0]), (0, more[1])), mode="symmetric"))


def _corners(body: Tensor, side: int, scale: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    centre = side * scale // 2
    height, width = body.shape[1] // scale - side + 1, body.shape[2] // scale - side + 1
    inside = body[0, centre::scale, centre::scale][:height, :width].numpy()
    corners = np.argwhere(inside)
    return corners if len(corners) else np.argwhere(np.ones((height, width), bool))
