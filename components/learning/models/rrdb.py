"""RRDBNet, the generator of ESRGAN (Wang et al., ECCV Workshops 2018, arXiv:1809.00219, figures 3 and 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.learning.models.upsampling import doublings, in_full_precision

RESIDUAL_SCALE = 0.2  # section 3.1: residuals are multiplied by this before they are added
INITIAL_SCALE = 0.1  # the authors' code shrinks Kaiming's weights in the dense blocks by this


class DenseBlock(nn.Module):
    """Five convolutions, each of which takes the outputs of all before it: `(B, C, H, W)` to the same."""

    def __init__(self, channels: int, growth_channels: int) -> None:
        super().__init__()
        widths = [channels + i * growth_channels for i in range(5)]
        outputs = [growth_channels] * 4 + [channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, output, 3, padding=1) for width, output in zip(widths, outputs, strict=True)
        )
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight)  # type: ignore[arg-type]
            convolution.weight.data.mul_(INITIAL_SCALE)  # type: ignore[operator]
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        first = F.leaky_relu(self.convolutions[0](x), 0.2)
        features = torch.cat((x.to(first.dtype), first), 1)  # x itself stays in full precision under mixed precision
        for convolution in self.convolutions[1:-1]:
            features = torch.cat((features, F.leaky_relu(convolution(features), 0.2)), 1)
        result: Tensor = x + RESIDUAL_SCALE * self.convolutions[-1](features)
        return result


class RRDB(nn.Module):
    """Three dense blocks with a residual around them: `(B, C, H, W)` to the same."""

    def __init__(self, channels: int, growth_channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(channels, growth_channels) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + RESIDUAL_SCALE * self.blocks(x)
        return result


class RRDBNet(nn.Module):
    """23 blocks of 64 channels with growth 32 as published; no batch norm.

    Maps `(B, 1, H, W)` to `(B, 1, scale * H, scale * W)`.
    """

    def __init__(self, scale: int, channels: int = 64, blocks: int = 23, growth_channels: int = 32) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(1, channels, 3, padding=1)
        self.trunk = nn.Sequential(
            *(RRDB(channels, growth_channels) for _ in range(blocks)), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.factors = doublings(scale)
        self.upsampling = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in self.factors)
        self.refinement = nn.Conv2d(channels, channels, 3, padding=1)
        self.tail = nn.Conv2d(channels, 1, 3, padding=1)

    @property
    def last_layer(self) -> nn.Module:
        return self.tail

    def forward(self, low_resolution: Tensor) -> Tensor:
        x = in_full_precision(self.head, low_resolution)
        x = x + self.trunk(x)
        for factor, convolution in zip(self.factors, self.upsampling, strict=True):
            x = F.leaky_relu(convolution(F.interpolate(x, scale_factor=factor, mode="nearest")), 0.2)
        return in_full_precision(self.tail, F.leaky_relu(self.refinement(x), 0.2))
