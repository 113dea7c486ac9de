"""Rates, averages and precision: the parts of a recipe that are the same for every network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HALVINGS = (0.125, 0.25, 0.5, 0.75)  # ESRGAN's 50, 100, 200 and 300 thousand of 400 thousand steps
RESTARTS, LEAST_RATE = 4, 5e-4  # RRDB: four cosines down to 1e-7 of 2e-4, in the authors' later training code


def rate_factor(schedule: str, step: int, steps: int) -> float:
    """What the rate is multiplied by before step `step` (from 0) of `steps`."""
    done = step / steps
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "cosine_restarts":
        return LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * (done * RESTARTS % 1)))
    if schedule == "halving":
        return float(0.5 ** sum(done >= mark for mark in HALVINGS))
    if schedule == "tenth":
        return 1.0 if done < 0.5 else 0.1  # SRGAN: 1e-4 for half the steps, 1e-5 for the other
    raise ValueError(f"schedule: expected constant, cosine, cosine_restarts, halving or tenth, found {schedule!r}")


class MovingAverage:
    """Exponential moving average of a network's state; `decay` 0 follows the network itself.

    The decay grows with the first steps, min(decay, (1 + n) / (10 + n)), so that a short training is not held back by
    its own start. Whole numbers, such as batch norm's counts, are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay, self.updates = decay, 0
        theirs = network.state_dict()  # shares its memory with the network, so that one look is enough
        self.state = {key: value.detach().clone() for key, value in theirs.items()}
        averaged = [key for key, value in theirs.items() if value.is_floating_point()]
        counted = [key for key in theirs if key not in averaged]
        self._averaged, self._counted = (
            ([self.state[key] for key in keys], [theirs[key] for key in keys]) for keys in (averaged, counted)
        )

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        for own, theirs in zip(*self._counted, strict=True):
            own.copy_(theirs)


def compiled(network: nn.Module, wanted: bool) -> nn.Module:
    """`network` as it is, or compiled at its first step: for one shape of patches, so that no shape is generalised."""
    return torch.compile(network, dynamic=False) if wanted else network  # type: ignore[return-value]


def is_finite(losses: list[Tensor]) -> Tensor:
    """One boolean on the device, so that asking costs no wait."""
    return torch.isfinite(torch.stack([loss.detach().float() for loss in losses])).all()
