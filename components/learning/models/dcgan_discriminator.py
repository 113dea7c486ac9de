"""A class-conditional DCGAN's discriminator (Radford, Metz & Chintala 2016; Mirza & Osindero 2014)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.learning.models.dcgan_generator import doublings_of, start_weights


class DCGANDiscriminator(nn.Module):
    """Maps images `(B, 1, size, size)` and labels `(B,)`, whole numbers, to one logit each, `(B, 1)`.

    Strided convolutions down to 4 to 7 pixels a side, all but the first with batch norm, as published. The label adds
    one input plane per class.
    """

    def __init__(self, classes: int = 2, channels: int = 64, size: int = 64) -> None:
        super().__init__()
        doublings = doublings_of(size)
        self.classes = classes
        widths = [channels << n for n in range(doublings)]
        layers: list[nn.Module] = [nn.Conv2d(1 + classes, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.maps = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * (size >> doublings) ** 2, 1))
        self.apply(start_weights)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        planes = F.one_hot(labels, self.classes).to(images)[:, :, None, None].expand(-1, -1, *images.shape[2:])
        result: Tensor = self.maps(torch.cat([images, planes], 1))
        return result
