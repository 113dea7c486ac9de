"""Augmentation of training images on the device, and the fixed views of test-time augmentation."""

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

    All draws come from `random`; with `alike` the images share one draw. torchvision's transforms always share one draw
    per batch, so the geometry here uses one sampling grid per image. Pixels from outside an image repeat its border.
    """

    def draw(limit: float) -> NDArray[np.float64]:
        draws = random.uniform(-limit, limit, 1 if alike else len(images))
        return draws.repeat(len(images)) if alike else draws

    moved = _moved(images, settings, draw)
    if settings.intensity:
        gamma, contrast, brightness = (_per_image(draw(settings.intensity), images) for _ in range(3))
        moved = moved.clamp(0, 1).pow(gamma.exp())
        mean = moved.mean((1, 2, 3), keepdim=True)
        moved = (moved - mean) * (1 + contrast) + mean + brightness / 2
    if settings.noise:
        noise = torch.from_numpy(random.standard_normal(images.shape, np.float32)).to(images)
        moved = moved + noise * _per_image(draw(settings.noise), images)
    return moved.clamp(0, 1)


def view(images: Tensor, settings: Augmentation, number: int, seed: int) -> Tensor:
    """View `number` of `images` (N, C, H, W): 0 is the image itself, any other one alteration shared by all images.

    An image's view does not depend on the rest of the batch. Views add no noise: it carries no information.
    """
    if number == 0:
        return images
    return augmented(images, replace(settings, noise=0.0), np.random.default_rng((seed, number)), alike=True)


def mixed(images: Tensor, targets: Tensor, alpha: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """mixup (Zhang et al., ICLR 2018): images and targets (N, classes), each blended with another of the batch."""
    if not alpha:
        return images, targets
    share = float(random.beta(alpha, alpha))
    partner = torch.from_numpy(random.permutation(len(images))).to(images.device)
    return share * images + (1 - share) * images[partner], share * targets + (1 - share) * targets[partner]


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


def _per_image(values: NDArray[np.float64], images: Tensor) -> Tensor:
    return torch.from_numpy(values).to(images).view(-1, 1, 1, 1)
