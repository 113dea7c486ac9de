"""SRResNet, the generator of SRGAN (Ledig et al., CVPR 2017, arXiv:1609.04802, figure 4)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from components.learning.models.upsampling import doublings, in_full_precision


class ResidualBlock(nn.Module):
    """Conv, batch norm, PReLU, conv, batch norm, and the input added: `(B, C, H, W)` to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result


class SRResNet(nn.Module):
    """Sixteen residual blocks of 64 channels as published, then sub-pixel convolutions.

    Maps `(B, 1, H, W)` to `(B, 1, scale * H, scale * W)`.
    """

    def __init__(self, scale: int, channels: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(1, channels, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(
            *(ResidualBlock(channels) for _ in range(blocks)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.upsampling = nn.Sequential(
            OrderedDict((f"x{i}", _sub_pixel(channels, factor)) for i, factor in enumerate(doublings(scale)))
        )
        self.tail = nn.Conv2d(channels, 1, 9, padding=4)

    @property
    def last_layer(self) -> nn.Module:
        return self.tail

    def forward(self, low_resolution: Tensor) -> Tensor:
        features = in_full_precision(self.head, low_resolution)
        return in_full_precision(self.tail, self.upsampling(features + self.trunk(features)))


def _sub_pixel(channels: int, factor: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PixelShuffle(factor), nn.PReLU())
