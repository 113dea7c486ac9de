"""Our side of each comparison, set up as `components.train` and `medsr enhance` set it up."""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from benchmarks import drawn
from components.learning.device import usable_precision
from components.learning.models import build
from components.learning.training.patches import Patches
from components.learning.training.pixel_phase import PixelPhase
from components.params.trainings import PixelTraining

SEED = 7
HELD = 4  # batches that lie ready in memory


class HeldBatches:
    """Batches drawn beforehand in place of `Patches`, to time a step without its data."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        self._batches = batches

    def batch(self, step: int, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """The batch of `step`; `part` and `parts` as in `Patches.batch`."""
        low, high = self._batches[step % len(self._batches)]
        share = len(low) // parts
        return low[part * share : (part + 1) * share], high[part * share : (part + 1) * share]


def precision(settings: PixelTraining, device: torch.device) -> str:
    """The default precision of our training on `device`."""
    return usable_precision(settings.precision, device)


def patches(settings: PixelTraining, device: torch.device) -> Patches:
    """Our cutting of batches, over drawn images."""
    return Patches(drawn.pairs(settings.scale), settings.scale, settings.patch_size, settings.batch_size, SEED, device)


def held(settings: PixelTraining, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """A few batches, already on `device`."""
    source = patches(settings, device)
    return [source.batch(step) for step in range(HELD)]


def network(settings: PixelTraining) -> nn.Module:
    """Our RRDBNet with fresh weights, the same ones at every call."""
    torch.manual_seed(SEED)
    return build(settings.network, scale=settings.scale)


def phase(
    ours: nn.Module, settings: PixelTraining, data: Patches | HeldBatches, device: torch.device, in_precision: str
) -> PixelPhase:
    """Our training of `ours`, ready for its first step."""
    fabric = Fabric(accelerator=device.type, devices=1, precision=cast(Any, in_precision))
    return PixelPhase(ours.to(device), settings, fabric, cast(Patches, data), [])
