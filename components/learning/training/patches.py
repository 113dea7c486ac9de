"""Pairs of patches for super-resolution: images stay in device memory, patches are cut and turned there."""

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

    Every image lies in one buffer on the device, and one gather a resolution cuts and turns a whole batch: the host
    sends eight numbers a patch and waits for nothing. An image is drawn in proportion to its side length, between every
    image alike, which repeats the small ones, and every pixel alike, which forgets them; that of a patient with n
    images by a root of n less, since slices of one head are not n heads. Three of four patches are centred in the body,
    one lies anywhere, so that flat ground is learned too. Each pair is turned by one of the eight symmetries of the
    square, half are inverted: the degradation is linear, so both sides stay a pair. `patch` counts high-resolution
    pixels.
    """

    def __init__(self, pairs: list[Pair], scale: int, patch: int, batch: int, seed: int, device: torch.device) -> None:
        self._scale, self._side, self._batch, self._seed, self._device = scale, patch // scale, batch, seed, device
        padded = [_at_least(pair, self._side, scale) for pair in pairs]
        self._low = torch.cat([low.flatten() for low, _, _ in padded]).to(device)
        self._high = torch.cat([high.flatten() for _, high, _ in padded]).to(device)
        self._sizes = np.array([low.shape[1:] for low, _, _ in padded])
        pixels = self._sizes.prod(1)
        self._starts = np.cumsum(pixels) - pixels
        self._corners = [_corners(body, self._side, scale) for _, _, body in padded]
        self._chances = _chances([pair.row.patient_id for pair in pairs], pixels)

    def batch(self, step: int, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """`(B, 1, h, w)` and `(B, 1, scale * h, scale * w)` for step number `step`.

        Of `parts` that share the batch, part number `part`: together they are the batch, whoever draws them. Raises
        `ValueError` where the batch cannot be shared evenly.
        """
        if self._batch % parts:
            raise ValueError(f"batch: expected a multiple of {parts} to share evenly, found {self._batch}")
        share = self._batch // parts
        drawn = self._draw(np.random.default_rng((self._seed, step)))[part * share : (part + 1) * share]
        start, width, row, column, *symmetry, inverted = self._sent(drawn)
        k, inverted = self._scale, inverted.view(-1, 1, 1, 1).bool()
        low = _cut(self._low, start, width, row, column, symmetry, self._side)
        high = _cut(self._high, start * k**2, width * k, row * k, column * k, symmetry, self._side * k)
        return torch.where(inverted, 1 - low, low), torch.where(inverted, 1 - high, high)

    def _draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """A row a patch: where its image starts, the image's width, its corner, three bits of symmetry, inverted."""
        count = self._batch
        images = random.choice(len(self._sizes), count, p=self._chances)
        anywhere = random.random(count) < ANYWHERE
        place, centre = random.random((count, 2)), random.random(count)
        bits = random.integers(2, size=(count, 4))
        rows = np.empty((count, 8), np.int64)
        for n, image in enumerate(images):
            corners = self._corners[image]
            free = place[n] * (self._sizes[image] - self._side + 1)
            corner = free if anywhere[n] else corners[int(centre[n] * len(corners))]
            rows[n] = (self._starts[image], self._sizes[image, 1], *corner, *bits[n])
        return rows

    def _sent(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
        table = torch.from_numpy(rows.T.copy())
        if self._device.type == "cuda":
            table = table.pin_memory()
        return tuple(table.to(self._device, non_blocking=True))


def _chances(patients: list[str], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    images = Counter(patients)
    weights = np.sqrt(pixels / np.array([images[patient] for patient in patients]))
    chances: NDArray[np.float64] = weights / weights.sum()
    return chances


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
