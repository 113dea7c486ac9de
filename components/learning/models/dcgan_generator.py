"""A class-conditional DCGAN's generator (Radford, Metz & Chintala 2016, arXiv:1511.06434; Mirza & Osindero 2014)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_SIDE = 4  # pixels a side of the first maps; doubled until the image's size


class DCGANGenerator(nn.Module):
    """Maps noise `(B, latent)` and labels `(B,)`, whole numbers, to images `(B, 1, size, size)` in [0, 1].

    `channels` are those of the last maps, 64 as published; each halving of the side doubles them. Nearest-neighbour
    enlargement and a convolution replace the published transposed convolutions, which leave a checkerboard pattern
    (Odena et al., Distill 2016).
    """

    def __init__(self, classes: int = 2, latent: int = 100, channels: int = 64, size: int = 64) -> None:
        super().__init__()
        doublings = doublings_of(size)
        self.classes, self.latent, self.start = classes, latent, size >> doublings
        widths = [channels << n for n in reversed(range(doublings))]
        self.first = nn.Linear(latent + classes, widths[0] * self.start**2)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for before, after in zip(widths, [*widths[1:], widths[-1]], strict=True):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.maps = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.apply(start_weights)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        one_hot = F.one_hot(labels, self.classes).to(noise)
        maps = self.first(torch.cat([noise, one_hot], 1)).unflatten(1, (-1, self.start, self.start))
        return torch.sigmoid(self.maps(maps))


def doublings_of(size: int) -> int:
    """How often a side of 4 to 7 pixels is doubled to give `size`. Raises `ValueError` where it cannot be."""
    doublings, side = 0, size
    while side % 2 == 0 and side // 2 >= LEAST_SIDE:
        doublings, side = doublings + 1, side // 2
    if doublings == 0 or side >= 2 * LEAST_SIDE:
        raise ValueError(f"dcgan: expected a size that halves down to 4 to 7 pixels, such as 64 or 224, found {size}")
    return doublings


def start_weights(module: nn.Module) -> None:
    """The published start: weights from N(0, 0.02), batch norm's gains from N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
