"""SRGAN's discriminator (Ledig et al., CVPR 2017, arXiv:1609.04802, figure 4)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from components.learning.models.spectral import constrain


class SRGANDiscriminator(nn.Module):
    """Eight convolutions of 64 to 512 channels as published, then two dense layers.

    `spectral_norm` constrains each layer's weights; the published network does not have it.

    Maps `(B, 1, H, W)` to one logit an image, `(B, 1)`. The last map is averaged to 6 x 6, its size for the published
    96-pixel patches, so that patches may have any size.
    """

    def __init__(self, channels: int = 64, spectral_norm: bool = False) -> None:
        super().__init__()
        widths = [
            channels,
            channels,
            2 * channels,
            2 * channels,
            4 * channels,
            4 * channels,
            8 * channels,
            8 * channels,
        ]
        layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1), nn.LeakyReLU(0.2)]
        for i, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if i % 2 == 0 else 1
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.convolutions = nn.Sequential(*layers)
        self.decision = nn.Sequential(
            nn.AdaptiveAvgPool2d(6),
            nn.Flatten(),
            nn.Linear(8 * channels * 36, 16 * channels),
            nn.LeakyReLU(0.2),
            nn.Linear(16 * channels, 1),
        )
        if spectral_norm:
            constrain(self)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.decision(self.convolutions(image))
        return result
