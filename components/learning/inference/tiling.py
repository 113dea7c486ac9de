"""Applies a network to an image of any size in bounded memory: overlapping tiles, blended, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.learning.device import half_is_fast

TILE, OVERLAP = 256, 32  # low-resolution pixels, for every score and every enhanced image
MIN_SIDE = 16  # pixels; smaller images are padded with their edge to the least size that every network takes
BAND_VALUES = 2**24  # high-resolution pixels of a row of tiles: 64 MiB; wider images get flatter tiles
LEAST_HEIGHT = 2 * OVERLAP  # of a tile, low-resolution pixels, however wide the image
ROWS_AT_ONCE = 32  # low-resolution rows of a band that is passed on
BATCH = {"cpu": 1, "cuda": 8}  # tiles at once: one fills a processor's cache, a GPU wants more


@dataclass(frozen=True)
class _Span:
    """One tile along one axis: its low-resolution pixels, and the weight of each high-resolution one."""

    start: int
    stop: int
    weights: Tensor


@dataclass(frozen=True)
class Rows:
    """An image that is read a few rows at a time: `take(start, stop)` gives (B, 1, stop - start, `width`)."""

    height: int
    width: int
    take: Callable[[int, int], Tensor]

    def padded(self, start: int, stop: int) -> Tensor:
        """Rows of the image with its last row and column repeated until both sides are `MIN_SIDE`."""
        missing = max(0, MIN_SIDE - self.width), max(0, stop - self.height)
        rows = self.take(start, min(stop, self.height))
        return functional.pad(rows, (0, missing[0], 0, missing[1]), mode="replicate")


def sharpen_tiled(
    network: nn.Module, image: Tensor, scale: int, tile: int = TILE, overlap: int = OVERLAP, half: bool | None = None
) -> Tensor:
    """The network's output for `image` (B, 1, H, W): float32 (B, 1, H * scale, W * scale), on the CPU.

    Joins the bands of `sharpen_bands`.
    """
    return torch.cat(list(sharpen_bands(network, image, scale, tile, overlap, half)), 2)


@torch.inference_mode()
def sharpen_bands(
    network: nn.Module,
    image: Tensor | Rows,
    scale: int,
    tile: int = TILE,
    overlap: int = OVERLAP,
    half: bool | None = None,
) -> Iterator[Tensor]:
    """Bands of the network's output from top to bottom, float32 (B, 1, rows * scale, W * scale), on the CPU.

    A band has `ROWS_AT_ONCE` low-resolution rows or fewer. Only one row of tiles is in memory, and of `Rows` no more is
    read: `BAND_VALUES` pixels, or `LEAST_HEIGHT` rows where the image is wider than that. `tile` and `overlap` count
    low-resolution pixels. The outermost quarter of an overlap has no weight; over the next half the weight rises as
    a raised cosine. The result equals the untiled one to float32 rounding (1e-5 for values in [0, 1]) where a pixel
    depends on none further away than a quarter overlap. `half` computes in bfloat16 between the outer layers, by
    default where the device is fast at it. That changes a trained generator's pixels by a few thousandths of the range
    at most, 5e-4 in root mean square. Puts the network in evaluation mode. Raises `ValueError` where tile and overlap
    do not fit, or the network's output has another size.
    """
    if not 0 <= overlap < tile or tile < MIN_SIDE:
        raise ValueError(f"expected tile >= {MIN_SIDE} and 0 <= overlap < tile, found tile {tile}, overlap {overlap}")
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = _rows_of(image) if isinstance(image, Tensor) else image
    columns = _spans(max(source.width, MIN_SIDE), tile, overlap, scale)
    rows = _spans(max(source.height, MIN_SIDE), _height(tile, source.width, scale), overlap, scale)
    left_over = None
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        band = _band(network, source.padded(row.start, row.stop), columns, scale, half).mul_(row.weights[:, None])
        if left_over is not None:
            band[..., : left_over.shape[2], :] += left_over
        done = (after.start if after else source.height) - row.start
        left_over = band[..., done * scale :, :].clone()  # a view would keep the whole band alive
        band = band[..., : done * scale, : source.width * scale]
        for part in torch.split(band, ROWS_AT_ONCE * scale, 2):
            yield part.clone()  # a view would keep the whole band while the next one is computed
        del band, part


def _height(tile: int, width: int, scale: int) -> int:
    """The tile's height in an image of `width`: less than `tile` where a row of squares needs too much memory."""
    return min(tile, max(LEAST_HEIGHT, BAND_VALUES // (width * scale**2)))


def _rows_of(image: Tensor) -> Rows:
    return Rows(image.shape[-2], image.shape[-1], lambda start, stop: image[..., start:stop, :])


def _band(network: nn.Module, rows: Tensor, columns: list[_Span], scale: int, half: bool | None) -> Tensor:
    """A row of tiles side by side: `rows` (B, 1, h, W) to (B, 1, h * scale, W * scale)."""
    result = torch.zeros(*rows.shape[:2], rows.shape[2] * scale, rows.shape[3] * scale)
    device = next(network.parameters(), rows).device
    batch = BATCH.get(device.type, 1)
    for first in range(0, len(columns), batch):
        spans = columns[first : first + batch]
        outputs = _sharpen(network, [rows[..., span.start : span.stop] for span in spans], scale, device, half)
        for span, output in zip(spans, outputs, strict=True):
            result[..., span.start * scale : span.stop * scale] += output * span.weights
    return result


def _sharpen(
    network: nn.Module, tiles: list[Tensor], scale: int, device: torch.device, half: bool | None
) -> tuple[Tensor, ...]:
    half = half_is_fast(device) if half is None else half
    batch = torch.cat(tiles).to(device, next(network.parameters(), tiles[0]).dtype)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        output = network(batch.contiguous(memory_format=torch.channels_last)).float().cpu()
    expected = (*batch.shape[:2], batch.shape[2] * scale, batch.shape[3] * scale)
    if tuple(output.shape) != expected:
        sizes = f"{expected} from {tuple(batch.shape)}, found {tuple(output.shape)}"
        raise ValueError(f"network: expected an output of {sizes}")
    return torch.split(output, tiles[0].shape[0])


def _spans(length: int, tile: int, overlap: int, scale: int) -> list[_Span]:
    """The fewest tiles that cover an axis, all of the smallest such size. Their weights sum to 1 at every pixel."""
    count = max(1, -(-(length - overlap) // (tile - overlap)))
    size = max(-(-(length + (count - 1) * overlap) // count), min(length, MIN_SIDE))
    starts = [i * (length - size) // max(1, count - 1) for i in range(count)]
    windows = [_window(start, size, length, overlap, scale) for start in starts]
    total = torch.zeros(length * scale, dtype=torch.float64)
    for start, window in zip(starts, windows, strict=True):
        total[start * scale : (start + size) * scale] += window
    return [
        _Span(start, start + size, (window / total[start * scale : (start + size) * scale]).float())
        for start, window in zip(starts, windows, strict=True)
    ]


def _window(start: int, size: int, length: int, overlap: int, scale: int) -> Tensor:
    """Weights of one tile, (size * scale,): they fall towards its neighbours and stay 1 at the image's border."""
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
    progress = ((distance - overlap / 4) / (overlap / 2)).clamp(0, 1)
    return 0.5 - 0.5 * torch.cos(torch.pi * progress)
