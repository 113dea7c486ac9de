"""Scores of natural pictures by the protocol of the published tables, to check networks against papers.

Values are 8-bit luma, 0 to 255. Scores of medical images are in `components/evidence/scoring.py`, on values in [0, 1].
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from components.imaging.degradation import degrade
from components.learning.inference.upscaling import Upscale
from components.learning.metrics.image_quality import WINDOW_SIDE, crop_border, psnr, ssim

LUMA_WEIGHTS = (65.481, 128.553, 24.966)  # ITU-R BT.601 for 8 bits: black is 16, white 235
LUMA_BLACK = 16
WHITE = 255


@dataclass(frozen=True)
class PictureScore:
    """A row of the table; PSNR is infinite where the estimate equals the original."""

    name: str
    psnr_db: float
    ssim: float


@dataclass(frozen=True)
class Table:
    """Scores of one model on one folder, on 8-bit luma without `scale` border pixels."""

    model: str
    scale: int
    low_resolution: str  # found | made here
    images: tuple[PictureScore, ...]

    @property
    def mean(self) -> PictureScore:
        """The mean over pictures, as published, not over pixels."""
        scores = self.images
        return PictureScore(
            "mean", statistics.fmean(s.psnr_db for s in scores), statistics.fmean(s.ssim for s in scores)
        )

    def as_dict(self) -> dict[str, Any]:
        """The table for JSON, with `null` for infinity."""
        rows = [asdict(row) for row in (*self.images, self.mean)]
        for row in rows:
            row["psnr_db"] = row["psnr_db"] if math.isfinite(row["psnr_db"]) else None
        header = {"model": self.model, "scale": self.scale, "low_resolution": self.low_resolution}
        return {**header, "images": rows[:-1], "mean": rows[-1]}

    def lines(self) -> Iterator[str]:
        """The table for the terminal, with the digits that papers print."""
        width = max(len(row.name) for row in (*self.images, self.mean))
        yield f"{'name':<{width}}  psnr_db    ssim"
        yield from (f"{row.name:<{width}}  {row.psnr_db:7.2f}  {row.ssim:.4f}" for row in (*self.images, self.mean))
        yield f"{self.model} x{self.scale}, luma in 8 bits; low resolution {self.low_resolution}"


def score(upscale: Upscale, low: Tensor, high: Tensor, scale: int) -> tuple[float, float, Tensor]:
    """PSNR in dB, SSIM, and the estimate that `upscale` makes of `low`, `(1, H, W)` in 8-bit luma.

    `low` `(C, h, w)` and `high` `(C, scale * h, scale * w)` are 8-bit pictures. Both become 8-bit luma first. Then
    `upscale` enlarges `low`, the estimate is rounded to 8 bits, and `scale` pixels at the border are left out. This
    order of steps gives bicubic on Set5 x4 its published 28.42 dB / 0.8101 (28.416 / 0.81011). Enlarging colours
    before taking luma gives 28.419 / 0.81021, luma kept in fractions 28.432 / 0.8113.
    """
    reference = luma(high)
    unit = upscale((luma(low) / WHITE).unsqueeze(0)).squeeze(0)
    estimate = (unit.float() * WHITE).round().clamp(0, WHITE)
    x, y = (crop_border(image, scale).unsqueeze(0) for image in (estimate, reference))
    return float(psnr(x, y, WHITE)), float(ssim(x, y, WHITE)), estimate


def luma(picture: Tensor) -> Tensor:
    """Luma of an 8-bit `picture` `(C, H, W)`: `(1, H, W)` float32 in whole numbers. RGB becomes 16 to 235, as by
    MATLAB's `rgb2ycbcr`. A grey picture keeps its values, 0 to 255, as in the published scripts."""
    if picture.shape[0] == 1:
        return picture.float()
    weights = torch.tensor(LUMA_WEIGHTS, dtype=torch.float64).view(3, 1, 1) / WHITE
    return (LUMA_BLACK + (picture.double() * weights).sum(0, keepdim=True)).round().float()


def reduced(picture: Tensor, scale: int) -> Tensor:
    """The 8-bit `picture` `(C, H, W)` reduced as by MATLAB's `imresize`, 8-bit `(C, H / scale, W / scale)`.

    Raises `ValueError` where a side is no multiple of `scale`.
    """
    planes = [torch.from_numpy(degrade(plane.float().numpy(), scale, "bicubic", seed=0)) for plane in picture]
    return torch.stack(planes).round().clamp(0, WHITE).to(torch.uint8)


def cropped(picture: Tensor, scale: int) -> Tensor:
    """`picture` `(C, H, W)` without the last rows and columns that exceed a multiple of `scale`.

    Raises `ValueError` where the rest is too small to be scored.
    """
    rows, columns = (length - length % scale for length in picture.shape[1:])
    least = WINDOW_SIDE + 2 * scale
    if min(rows, columns) < least:
        raise ValueError(f"expected {least} pixels a side or more, found {picture.shape[1]} x {picture.shape[2]}")
    return picture[:, :rows, :columns]
