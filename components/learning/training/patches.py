"""Pairs of patches for super-resolution, cut and turned from images in device memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.learning.datasets.pairs import Pair

ANYWHERE = 0.25  # share of patches that need not show the body


class Patches:
    """Draws batches of patch pairs; the batch of a step depends on the seed and the step alone, so resuming is exact.

    All images are in one buffer on the device, and one gather per resolution cuts and turns a whole batch. The host
    sends eight numbers per patch and never waits. An image's probability is proportional to its side length: equal
    probabilities would repeat small images, probabilities by pixels would neglect them. It is divided by the root of
    its patient's number of images, since slices of one head are not independent. Three of four patches are centred in
    the body, one lies anywhere, so that background is learned too. One of the square's eight symmetries turns each
    pair, and half of the pairs are inverted; the degradation commutes with both. `patch` counts high-resolution pixels.
    """

    def __init__(self, pairs: list[Pair], scale: int, patch: int, batch: int, seed: int, device: torch.device) -> None:
        self._scale, self._side, self._batch, self._seed, self._device = scale, patch // scale, batch, seed, device
        padded = [_padded(pair, self._side, scale) for pair in pairs]
        self._low = torch.cat([low.flatten() for low, _, _ in padded]).to(device)
        self._high = torch.cat([high.flatten() for _, high, _ in padded]).to(device)
        self._sizes = np.array([low.shape[1:] for low, _, _ in padded])
        pixels = self._sizes.prod(1)
        self._starts = np.cumsum(pixels) - pixels
        self._corners = [_corners(body, self._side, scale) for _, _, body in padded]
        self._probabilities = _probabilities([pair.row.patient_id for pair in pairs], pixels)

    def batch(self, step: int, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """`(B, 1, h, w)` and `(B, 1, scale * h, scale * w)` for step number `step`.

        Gives part `part` of the `parts` of the batch, the same in any process. Raises `ValueError` where the batch
        cannot be split evenly.
        """
        if self._batch % parts:
            raise ValueError(f"batch: expected a multiple of {parts} to share evenly, found {self._batch}")
        share = self._batch // parts
        drawn = self._draw(np.random.default_rng((self._seed, step)))[part * share : (part + 1) * share]
        start, width, row, column, *symmetry, inverted = self._to_device(drawn)
        k, inverted = self._scale, inverted.view(-1, 1, 1, 1).bool()
        low = _cut(self._low, start, width, row, column, symmetry, self._side)
        high = _cut(self._high, start * k**2, width * k, row * k, column * k, symmetry, self._side * k)
        return torch.where(inverted, 1 - low, low), torch.where(inverted, 1 - high, high)

    def _draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """A row per patch: its image's start and width, its row and column, three bits of symmetry, inverted."""
        count = self._batch
        images = random.choice(len(self._sizes), count, p=self._probabilities)
        anywhere = random.random(count) < ANYWHERE
        offset, centre = random.random((count, 2)), random.random(count)
        bits = random.integers(2, size=(count, 4))
        rows = np.empty((count, 8), np.int64)
        for n, image in enumerate(images):
            corners = self._corners[image]
            free = offset[n] * (self._sizes[image] - self._side + 1)
            corner = free if anywhere[n] else corners[int(centre[n] * len(corners))]
            rows[n] = (self._starts[image], self._sizes[image, 1], *corner, *bits[n])
        return rows

    def _to_device(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
        table = torch.from_numpy(rows.T.copy())
        if self._device.type == "cuda":
            table = table.pin_memory()
        return tuple(table.to(self._device, non_blocking=True))


def _probabilities(patients: list[str], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    images = Counter(patients)
    weights = np.sqrt(pixels / np.array([images[patient] for patient in patients]))
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


def _cut(
    images: Tensor, start: Tensor, width: Tensor, row: Tensor, column: Tensor, symmetry: list[Tensor], side: int
) -> Tensor:
    """`(B, 1, side, side)` out of the buffer `images`; `symmetry` says whether to flip down, flip across, transpose."""
    flip_down, flip_across, transpose = (bit.view(-1, 1, 1).bool() for bit in symmetry)
    line = torch.arange(side, device=images.device)
    down, across = line.view(1, -1, 1), line.view(1, 1, -1)
    down, across = torch.where(flip_down, side - 1 - down, down), torch.where(flip_across, side - 1 - across, across)
    down, across = torch.where(transpose, across, down), torch.where(transpose, down, across)
    first = (start + row * width + column).view(-1, 1, 1)
    return images[first + down * width.view(-1, 1, 1) + across].unsqueeze(1)


def _padded(pair: Pair, side: int, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pair, mirrored at its border up to the size of a patch; mirroring commutes with the degradation."""
    missing = [max(0, side - length) for length in pair.low.shape[1:]]
    if not any(missing):
        return pair.low, pair.high, pair.body
    return (
        _mirrored(pair.low, missing),
        _mirrored(pair.high, [scale * length for length in missing]),
        _mirrored(pair.body, [scale * length for length in missing]),
    )


def _mirrored(image: Tensor, missing: list[int]) -> Tensor:
    return torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric"))


def _corners(body: Tensor, side: int, scale: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    centre = side * scale // 2
    height, width = body.shape[1] // scale - side + 1, body.shape[2] // scale - side + 1
    inside = body[0, centre::scale, centre::scale][:height, :width].numpy()
    corners = np.argwhere(inside)
    return corners if len(corners) else np.argwhere(np.ones((height, width), bool))
