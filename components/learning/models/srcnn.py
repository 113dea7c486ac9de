"""SRCNN: three convolutions on the bicubic enlargement (Dong et al., ECCV 2014; TPAMI 2016, arXiv:1501.00092)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.learning.models.upsampling import in_full_precision


class SRCNN(nn.Module):
    """The published 9-1-5 network; `channels` and `hidden_channels` are n1 = 64 and n2 = 32 in the paper.

    `initial_std` is the standard deviation of the initial weights, 0.001 in the paper (TPAMI, section 4.1), which suits
    hundreds of thousands of steps. 0 keeps PyTorch's initial weights, with which a short training reaches 3 dB more.

    Maps `(B, 1, H, W)` to `(B, 1, scale * H, scale * W)`. Borders are replicated, where the paper let them shrink.
    """

    def __init__(self, scale: int, channels: int = 64, hidden_channels: int = 32, initial_std: float = 0.0) -> None:
        super().__init__()
        self.scale = scale
        self.extraction = nn.Conv2d(1, channels, 9, padding=4, padding_mode="replicate")
        self.mapping = nn.Conv2d(channels, hidden_channels, 1)
        self.reconstruction = nn.Conv2d(hidden_channels, 1, 5, padding=2, padding_mode="replicate")
        if initial_std:
            for layer in (self.extraction, self.mapping, self.reconstruction):
                nn.init.normal_(layer.weight, std=initial_std)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @property
    def last_layer(self) -> nn.Module:
        """The layer that the paper trains ten times slower."""
        return self.reconstruction

    def forward(self, low_resolution: Tensor) -> Tensor:
        x = enlarge(low_resolution, self.scale)
        x = F.relu(in_full_precision(self.extraction, x))
        x = F.relu(self.mapping(x))
        return in_full_precision(self.reconstruction, x)


def enlarge(image: Tensor, scale: int) -> Tensor:
    """The bicubic enlargement, `(B, C, H, W)` to `(B, C, scale * H, scale * W)`, in float32.

    `antialias` changes nothing in an enlargement but the kernel: Keys' a = -0.5, as in the literature, not -0.75.
    """
    with torch.autocast(image.device.type, enabled=False):
        return F.interpolate(image.float(), scale_factor=scale, mode="bicubic", antialias=True)
