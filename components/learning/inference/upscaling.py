"""What turns a low-resolution image into a high-resolution one, and which held-out images it is scored on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from components.handover import PreparedRow, StepError, fingerprint, read_rows, sha256_of
from components.learning.models.srcnn import enlarge
from components.learning.tiling import sharpen_tiled
from components.params import Params
from components.params.trainings import AdversarialTraining, PixelTraining

Upscale = Callable[[Tensor], Tensor]  # (1, 1, h, w) to (1, 1, scale * h, scale * w), in [0, 1]


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
