"""A super-resolution network ready for inference, with its name in the registry."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Generator:
    """`network` maps `(B, 1, h, w)` in [0, 1] to `(B, 1, scale * h, scale * w)`."""

    network: nn.Module
    scale: int
    name: str  # registered model
    version: str
    percentiles: tuple[float, float]  # of an image's values: mapped to 0 and 1 in training
