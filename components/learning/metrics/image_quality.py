"""PSNR, SSIM and MS-SSIM of each image, as the field reports them.

Images are scaled to [0, 1]; scikit-image is the reference the tests compare with. torchmetrics pools errors over a
batch and keeps SSIM's padded border, which is why these are here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW_SIGMA = 1.5  # Wang et al., IEEE TIP 13(4), 2004: an 11 x 11 Gaussian
WINDOW_SIDE = 11
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first, as published
MS_SSIM_LEAST_SIDE = WINDOW_SIDE * 2 ** (len(MS_SSIM_WEIGHTS) - 1)


def psnr(estimate: Tensor, reference: Tensor, data_range: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of each image, in dB; over the pixels of `mask` where one is given.

    `estimate` and `reference` are `(B, C, H, W)`, `mask` `(B, 1, H, W)` bool; the result is `(B,)` in float64,
    infinite where they are equal, not a number where a mask is empty.
    """
    error = (estimate.double() - reference.double()) ** 2
    mean = error.mean((1, 2, 3)) if mask is None else mean_inside(error, mask)
    return 10 * torch.log10(data_range**2 / mean)


def ssim(estimate: Tensor, reference: Tensor, data_range: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Structural similarity of each image, `(B,)` in float64, averaged over windows that lie wholly in the image.

    Shapes as in `psnr`; height and width are at least 11. With `mask`, averaged over windows centred inside it.
    Constants k1 = 0.01 and k2 = 0.03, population covariance, as published.
    """
    similarity, _ = similarity_maps(estimate, reference, data_range)
    return similarity.mean((1, 2, 3)) if mask is None else mean_inside(similarity, centres(mask))


def similarity_maps(estimate: Tensor, reference: Tensor, data_range: float = 1.0) -> tuple[Tensor, Tensor]:
    """SSIM of each window, `(B, C, H - 10, W - 10)` in float64, and the same without the luminance term.

    A reference of one image serves every estimate. Raises `ValueError` where a side has fewer than 11 pixels.
    """
    if min(estimate.shape[-2:]) < WINDOW_SIDE:
        raise ValueError(f"ssim: expected at least {WINDOW_SIDE} pixels a side, found {tuple(estimate.shape[-2:])}")
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    x, y = estimate.double(), reference.double()
    mean_x, mean_y = _blur(x), _blur(y)
    square_x, square_y, product = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variances = (_blur(x * x) - square_x) + (_blur(y * y) - square_y)
    covariance = _blur(x * y) - product
    structure = (2 * covariance + c2) / (variances + c2)
    return structure * (2 * product + c1) / (square_x + square_y + c1), structure


def ms_ssim(
    estimate: Tensor, reference: Tensor, data_range: float = 1.0, finest: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Multi-scale structural similarity of each image, `(B,)` in float64 (Wang, Simoncelli & Bovik, Asilomar 2003).

    Five scales, each half of the one before by the mean of 2 x 2 pixels, an odd last row or column left off. A term
    below zero counts as zero. `finest` is what `similarity_maps` gives for the images as they are, where it is known.
    Raises `ValueError` where a side has fewer than 176 pixels, 11 at the coarsest scale.
    """
    if min(estimate.shape[-2:]) < MS_SSIM_LEAST_SIDE:
        size = tuple(estimate.shape[-2:])
        raise ValueError(f"ms_ssim: expected at least {MS_SSIM_LEAST_SIDE} pixels a side, found {size}")
    x, y = estimate.double(), reference.double()
    result = torch.ones(x.shape[0], dtype=torch.float64, device=x.device)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        known = finest if scale == 0 else None
        similarity, structure = known or similarity_maps(x, y, data_range)
        term = similarity if scale == len(MS_SSIM_WEIGHTS) - 1 else structure
        result = result * term.mean((1, 2, 3)).clamp_min(0) ** weight
    return result


def centres(mask: Tensor) -> Tensor:
    """`mask` where the windows of `similarity_maps` have their centres."""
    edge = WINDOW_SIDE // 2
    return mask[..., edge:-edge, edge:-edge]


def crop_border(image: Tensor, border: int) -> Tensor:
    """`(…, H, W)` without `border` pixels on each side, where no method had its full surroundings."""
    return image[..., border:-border, border:-border] if border else image


def mean_inside(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of each image's `values` where `mask` is true, `(B,)`; not a number where it never is."""
    weight = mask.to(values.dtype).expand_as(values)
    return (values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))


def _blur(image: Tensor) -> Tensor:
    """The Gaussian mean of every whole window by shifted sums; a float64 convolution takes PyTorch 13 times as long."""
    offsets = torch.arange(WINDOW_SIDE, dtype=torch.float64) - WINDOW_SIDE // 2
    window = torch.exp(-(offsets**2) / (2 * WINDOW_SIGMA**2))
    weights: list[float] = (window / window.sum()).tolist()
    return _weighted(_weighted(image, weights, -2), weights, -1)


def _weighted(image: Tensor, weights: list[float], axis: int) -> Tensor:
    length = image.shape[axis] - len(weights) + 1
    total = image.narrow(axis, 0, length) * weights[0]
    for start, weight in enumerate(weights[1:], start=1):
        total.add_(image.narrow(axis, start, length), alpha=weight)
    return total
