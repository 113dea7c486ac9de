"""Rates, averages and precision: the parts of a recipe that are the same for every network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HALVINGS = (0.125, 0.25, 0.5, 0.75)  # ESRGAN's 50, 100, 200 and 300 thousand of 400 thousand steps


def rate_factor(schedule: str, step: int, steps: int) -> float:
    """What the rate is multiplied by before step `step` (from 0) of `steps`."""
    done = step / steps
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "halving":
        return float(0.5 ** sum(done >= mark for mark in HALVINGS))
    raise ValueError(f"schedule: expected constant, cosine or halving, found {schedule!r}")


class MovingAverage:
    """Exponential moving average of a network's state; `decay` 0 follows the network itself.

    The decay grows with the first steps, min(decay, (1 + n) / (10 + n)), so that a short training is not held back by
    its own start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay, self.updates = network, decay, 0
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for key, value in self._network.state_dict().items():
            own = self.state[key]
            own.lerp_(value.to(own), 1 - decay) if own.is_floating_point() else own.copy_(value)


def usable_precision(wanted: str, device: torch.device) -> str:
    """`wanted`, or full precision on a processor that cannot compute in bfloat16."""
    if wanted == "bf16-mixed" and device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "32-true"
    return wanted


def is_finite(losses: list[Tensor]) -> Tensor:
    """One boolean on the device, so that asking costs no wait."""
    return torch.isfinite(torch.stack([loss.detach().float() for loss in losses])).all()
