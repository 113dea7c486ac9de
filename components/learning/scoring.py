"""Held-out scores of a super-resolution method: the one definition that tables, gate and champion share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from components.handover import PreparedRow, StepError, read_rows
from components.learning.checkpoint import fingerprint
from components.learning.metrics import crop_border, psnr, ssim
from components.learning.models.srcnn import enlarge
from components.learning.patches import Pair
from components.learning.tiling import sharpen_tiled
from components.learning.weights import sha256_of
from components.params import Params
from components.trainings import AdversarialTraining, PixelTraining

Upscale = Callable[[Tensor], Tensor]  # (1, 1, h, w) to (1, 1, scale * h, scale * w), in [0, 1]


@dataclass(frozen=True)
class Score:
    """One image under one method; the body scores leave the dark background out."""

    psnr_db: float
    ssim: float
    psnr_body_db: float
    ssim_body: float
    seconds: float


def scale_of(params: Params) -> int:
    """The one scale of every generator. Raises `StepError` where there are several."""
    trainings = [t for t in params.train.values() if isinstance(t, PixelTraining | AdversarialTraining)]
    scales = {training.scale for training in trainings}
    if len(scales) != 1:
        raise StepError(f"train: expected one scale for every generator, found {sorted(scales)}. Set them alike.")
    return scales.pop()


def held_out_digest(folder: Path) -> str:
    """One digest of every held-out image: scores under the same one may be compared."""
    rows = [row for row in read_rows(folder / "index.csv", PreparedRow) if row.split == "test"]
    return fingerprint(*((row.sample_id, sha256_of(folder / row.file)) for row in rows))


def network_upscale(network: nn.Module, scale: int, device: torch.device) -> Upscale:
    """`network` over overlapping tiles, as `medsr enhance` runs it."""
    network = network.to(device).eval()
    return lambda low: sharpen_tiled(network, low, scale)


def bicubic_upscale(scale: int) -> Upscale:
    """The baseline that every network has to beat."""
    return lambda low: enlarge(low, scale)


def score(upscale: Upscale, pair: Pair, scale: int) -> tuple[Score, Tensor]:
    """Scores of the image that `upscale` makes of `pair.low`, and that image, `(1, 1, H, W)` clipped to [0, 1].

    `scale` pixels at the border are left out of every score.
    """
    started = time.perf_counter()
    estimate = upscale(pair.low.unsqueeze(0))
    seconds = time.perf_counter() - started
    estimate = estimate.float().clamp(0, 1)
    found, wanted, body = (crop_border(image, scale) for image in (estimate, pair.high[None], pair.body[None]))
    measured = Score(
        psnr_db=float(psnr(found, wanted)),
        ssim=float(ssim(found, wanted)),
        psnr_body_db=float(psnr(found, wanted, mask=body)),
        ssim_body=float(ssim(found, wanted, mask=body)),
        seconds=round(seconds, 4),
    )
    return measured, estimate
