"""Shared by the generators: the factors of a scale, and outer layers in full precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def doublings(scale: int) -> tuple[int, ...]:
    """The successive factors of a scale: (2, 2) of 4, (3,) of 3. Raises `ValueError` unless it is 2, 3, 4 or 8."""
    steps = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
    if scale not in steps:
        raise ValueError(f"scale: expected 2, 3, 4 or 8, found {scale}")
    return steps[scale]


def in_full_precision(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer(x)` in float32, also under mixed precision: bfloat16 would leave 8 of an image's 12 to 16 bits.

    For the first and the last layer: in the layers between, rounding errors of many channels cancel out.
    """
    with torch.autocast(x.device.type, enabled=False):
        result: Tensor = layer(x.float())
    return result
