"""Training images varied on the device, each in its own way, and the fixed views of a reading in test time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from components.params.trainings import Augmentation


def augmented(images: Tensor, settings: Augmentation, random: np.random.Generator, alike: bool = False) -> Tensor:
    """`images` (N, C, H, W) in [0, 1], each turned, moved, scaled, mirrored, brightened and made noisy by its own draw.

    What `random` gives decides everything; `alike` draws once for all. torchvision's transforms draw once for a whole
    batch, so the geometry goes through one sampling grid an image here; what moves in from outside repeats the border.
    """

    def draw(most: float) -> NDArray[np.float64]:
        return random.uniform(-most, most, 1).repeat(len(images)) if alike else random.uniform(-most, most, len(images))

    moved = _moved(images, settings, draw)
    if settings.intensity:
        gamma, contrast, brightness = (_each(draw(settings.intensity), images) for _ in range(3))
        moved = moved.clamp(0, 1).pow(gamma.exp())
        mean = moved.mean((1, 2, 3), keepdim=True)
        moved = (moved - mean) * (1 + contrast) + mean + brightness / 2
    if settings.noise:
        noise = torch.from_numpy(random.standard_normal(images.shape, np.float32)).to(images)
        moved = moved + noise * _each(draw(settings.noise), images)
    return moved.clamp(0, 1)


def view(images: Tensor, settings: Augmentation, number: int, seed: int) -> Tensor:
    """View `number` of `images` (N, C, H, W): 0 is the image itself, each other one alteration, alike for all images.

    An image's view does not depend on what is read beside it. Noise is left out: it tells nothing.
    """
    if number == 0:
        return images
    return augmented(images, replace(settings, noise=0.0), np.random.default_rng((seed, number)), alike=True)


def mixed(images: Tensor, targets: Tensor, alpha: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """mixup (Zhang et al., ICLR 2018): images and targets (N, classes), each blended with another of the batch."""
    if not alpha:
        return images, targets
    share = float(random.beta(alpha, alpha))
    other = torch.from_numpy(random.permutation(len(images))).to(images.device)
    return share * images + (1 - share) * images[other], share * targets + (1 - share) * targets[other]


def _moved(images: Tensor, settings: Augmentation, draw: Callable[[float], NDArray[np.float64]]) -> Tensor:
    if not (settings.rotation_degrees or settings.shift or settings.scale or settings.flip):
        return images
    angle, zoom = np.deg2rad(draw(settings.rotation_degrees)), 1 + draw(settings.scale)
    right, down = 2 * draw(settings.shift), 2 * draw(settings.shift)  # a grid's sides are 2 long
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    affine = np.stack([cosine, -sine, right, sine, cosine, down], 1).reshape(-1, 2, 3)
    if settings.flip:
        affine[:, :, 0] *= np.sign(draw(1.0))[:, None]
    grid = F.affine_grid(torch.from_numpy(affine).to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _each(values: NDArray[np.float64], images: Tensor) -> Tensor:
    return torch.from_numpy(values).to(images).view(-1, 1, 1, 1)
