"""Learning rates, averaged weights, compilation and the check for finite losses, the same for every network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HALVINGS = (0.125, 0.25, 0.5, 0.75)  # ESRGAN's 50, 100, 200 and 300 thousand of 400 thousand steps
RESTARTS, LEAST_RATE = 4, 5e-4  # RRDB: four cosines down to 1e-7 of 2e-4, in the authors' later training code


def rate_factor(schedule: str, step: int, steps: int) -> float:
    """The factor on the learning rate at step `step` (from 0) of `steps`."""
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

    The decay grows over the first steps, min(decay, (1 + n) / (10 + n)), so that the initial weights do not dominate a
    short training. Whole numbers, such as batch norm's counts, are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay, self.updates = decay, 0
        source = network.state_dict()  # shares its memory with the network, so it is read once
        self.state = {key: value.detach().clone() for key, value in source.items()}
        averaged = [key for key, value in source.items() if value.is_floating_point()]
        counted = [key for key in source if key not in averaged]
        self._averaged, self._counted = (
            ([self.state[key] for key in keys], [source[key] for key in keys]) for keys in (averaged, counted)
        )

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        for average, source in zip(*self._counted, strict=True):
            average.copy_(source)


def compiled(network: nn.Module, enabled: bool) -> nn.Module:
    """`network`, where `enabled` compiled at its first step. All patches have one shape, so shapes are not dynamic."""
    return torch.compile(network, dynamic=False) if enabled else network  # type: ignore[return-value]


def is_finite(losses: list[Tensor]) -> Tensor:
    """Whether all `losses` are finite, as a boolean on the device, so that the host does not wait."""
    return torch.isfinite(torch.stack([loss.detach().float() for loss in losses])).all()
