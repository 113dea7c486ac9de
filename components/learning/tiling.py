"""A network over an image of any size, in bounded memory: overlapping tiles, blended smoothly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_SIDE = 16  # pixels; smaller images are padded with their edge, so that every network has something to look at
BATCH = 4  # tiles at once: bounds the memory, whatever the image's size


@dataclass(frozen=True)
class _Span:
    """One tile along one axis: its low-resolution pixels, and the weight of each high-resolution one."""

    start: int
    stop: int
    weights: Tensor


@torch.inference_mode()
def sharpen_tiled(network: nn.Module, image: Tensor, scale: int, tile: int, overlap: int) -> Tensor:
    """The network's answer to the whole of `image` (B, 1, H, W): float32 (B, 1, H * scale, W * scale), on the CPU.

    `tile` and `overlap` count low-resolution pixels. A tile's outermost quarter overlap has no weight, the next half
    rises as a raised cosine. The result equals the untiled one to float32 rounding (1e-5 for values in [0, 1]) where
    a pixel depends on none further away than a quarter overlap. The network is used, and left, in evaluation mode.
    Raises `ValueError` where tile and overlap do not fit, or the network answers with another size.
    """
    if not 0 <= overlap < tile or tile < MIN_SIDE:
        raise ValueError(f"expected tile >= {MIN_SIDE} and 0 <= overlap < tile, found tile {tile}, overlap {overlap}")
    network.eval()
    height, width = image.shape[-2:]
    padded = functional.pad(image, (0, max(0, MIN_SIDE - width), 0, max(0, MIN_SIDE - height)), mode="replicate")
    rows, columns = (_spans(length, tile, overlap, scale) for length in padded.shape[-2:])
    result = torch.zeros(*padded.shape[:2], padded.shape[2] * scale, padded.shape[3] * scale)
    for places in _batches(list(product(rows, columns))):
        pieces = _sharpen(network, [padded[..., r.start : r.stop, c.start : c.stop] for r, c in places], scale)
        for (row, column), piece in zip(places, pieces, strict=True):
            target = result[..., row.start * scale : row.stop * scale, column.start * scale : column.stop * scale]
            target += piece * row.weights[:, None] * column.weights
    return result[..., : height * scale, : width * scale]


def _sharpen(network: nn.Module, tiles: list[Tensor], scale: int) -> tuple[Tensor, ...]:
    parameter = next(network.parameters(), tiles[0])
    batch = torch.cat(tiles).to(parameter.device, parameter.dtype)
    answer = network(batch).float().cpu()
    expected = (*batch.shape[:2], batch.shape[2] * scale, batch.shape[3] * scale)
    if tuple(answer.shape) != expected:
        raise ValueError(
            f"network: expected an answer of {expected} to {tuple(batch.shape)}, got {tuple(answer.shape)}"
        )
    return torch.split(answer, tiles[0].shape[0])


def _spans(length: int, tile: int, overlap: int, scale: int) -> list[_Span]:
    """Tiles of one size that cover an axis, the last one flush with its end; at every pixel their weights sum to 1."""
    size = min(tile, length)
    starts = [*range(0, length - size, tile - overlap), length - size]
    windows = [_window(start, size, length, overlap, scale) for start in starts]
    total = torch.zeros(length * scale, dtype=torch.float64)
    for start, window in zip(starts, windows, strict=True):
        total[start * scale : (start + size) * scale] += window
    return [
        _Span(start, start + size, (window / total[start * scale : (start + size) * scale]).float())
        for start, window in zip(starts, windows, strict=True)
    ]


def _window(start: int, size: int, length: int, overlap: int, scale: int) -> Tensor:
    """Weights of one tile, (size * scale,): falling towards its neighbours, 1 towards the image's own border."""
    from_start = (torch.arange(size * scale, dtype=torch.float64) + 0.5) / scale
    window = torch.ones_like(from_start)
    if start > 0:
        window *= _ramp(from_start, overlap)
    if start + size < length:
        window *= _ramp(from_start, overlap).flip(0)
    return window


def _ramp(distance: Tensor, overlap: int) -> Tensor:
    if overlap == 0:
        return torch.ones_like(distance)
    risen = ((distance - overlap / 4) / (overlap / 2)).clamp(0, 1)
    return 0.5 - 0.5 * torch.cos(torch.pi * risen)


def _batches(places: list[tuple[_Span, _Span]]) -> Iterator[list[tuple[_Span, _Span]]]:
    for first in range(0, len(places), BATCH):
        yield places[first : first + BATCH]
