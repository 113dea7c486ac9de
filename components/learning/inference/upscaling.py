"""Functions that turn a low-resolution image into a high-resolution one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from components.learning.inference.tiling import sharpen_tiled
from components.learning.models.srcnn import enlarge

Upscale = Callable[[Tensor], Tensor]  # (1, 1, h, w) to (1, 1, scale * h, scale * w), in [0, 1]


def network_upscale(network: nn.Module, scale: int, device: torch.device) -> Upscale:
    """`network` over overlapping tiles, as `medsr enhance` runs it."""
    network = network.to(device).eval()
    return lambda low: sharpen_tiled(network, low, scale)


def bicubic_upscale(scale: int) -> Upscale:
    """The baseline that every network has to beat."""
    return lambda low: enlarge(low, scale)
