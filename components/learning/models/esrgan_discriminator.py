"""ESRGAN's discriminator: VGG-style, 4 x 4 strided convolutions (the authors' `Discriminator_VGG_128`)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from components.learning.models.spectral import constrain


class ESRGANDiscriminator(nn.Module):
    """Ten convolutions of 64 to 512 channels as published, then two dense layers.

    `spectral_norm` constrains each layer's weights; the published network does not have it.

    Maps `(B, 1, H, W)` to one logit an image, `(B, 1)`; the loss compares logits of real and generated images
    (arXiv:1809.00219, section 3.2). The last map is averaged to 4 x 4, its size for the published 128-pixel patches.
    """

    def __init__(self, channels: int = 64, spectral_norm: bool = False) -> None:
        super().__init__()
        widths = [channels, 2 * channels, 4 * channels, 8 * channels, 8 * channels]
        layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1), nn.LeakyReLU(0.2)]
        layers += _halving(channels)
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
            layers += _halving(after)
        self.convolutions = nn.Sequential(*layers)
        self.decision = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(8 * channels * 16, 100),
            nn.LeakyReLU(0.2),
            nn.Linear(100, 1),
        )
        if spectral_norm:
            constrain(self)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.decision(self.convolutions(image))
        return result


def _halving(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 4, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.LeakyReLU(0.2)]
