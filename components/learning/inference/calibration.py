"""Calibration of probabilities by temperature, and the decision threshold; both from validation patients."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from components.handover import StepError

LEAST, MOST = 0.05, 20.0  # bounds of the temperature: few validation images can fit any


def temperature_of(logits: Tensor, labels: Tensor) -> float:
    """The temperature that makes validation `labels` (N,) likeliest under `logits` (N, classes) (Guo et al. 2017)."""
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")
    fixed = logits.detach().double()

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(fixed / log_temperature.exp(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    temperature = float(log_temperature.detach().exp())
    return min(MOST, max(LEAST, temperature)) if math.isfinite(temperature) else 1.0


def threshold_for(sensitivity: float, truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """The highest threshold with at least `sensitivity` on the positives; a score equal to it counts as positive."""
    positives = np.sort(scores[truth])[::-1]
    if not len(positives):
        raise StepError("expected positive cases among the validation patients to choose a threshold, found none.")
    return float(positives[max(0, math.ceil(sensitivity * len(positives)) - 1)])
