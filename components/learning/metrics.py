"""PSNR and SSIM of each image, as the field reports them.

Images are scaled to [0, 1]; scikit-image is the reference the tests compare with. torchmetrics pools errors over a
batch and keeps SSIM's padded border, which is why these are here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW_SIGMA = 1.5  # Wang et al., IEEE TIP 13(4), 2004: an 11 x 11 Gaussian
WINDOW_SIDE = 11


def psnr(estimate: Tensor, reference: Tensor, data_range: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of each image, in dB; over the pixels of `mask` where one is given.

    `estimate` and `reference` are `(B, C, H, W)`, `mask` `(B, 1, H, W)` bool; the result is `(B,)` in float64,
    infinite where they are equal, not a number where a mask is empty.
    """
    error = (estimate.double() - reference.double()) ** 2
    mean = error.mean((1, 2, 3)) if mask is None else _mean_inside(error, mask)
    return 10 * torch.log10(data_range**2 / mean)


def ssim(estimate: Tensor, reference: Tensor, data_range: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Structural similarity of each image, `(B,)` in float64, averaged over windows that lie wholly in the image.

    Shapes as in `psnr`; height and width are at least 11. With `mask`, averaged over windows centred inside it.
    Constants k1 = 0.01 and k2 = 0.03, population covariance, as published.
    """
    if min(estimate.shape[-2:]) < WINDOW_SIDE:
        raise ValueError(f"ssim: expected at least {WINDOW_SIDE} pixels a side, found {tuple(estimate.shape[-2:])}")
    similarity = _ssim_map(estimate.double(), reference.double(), data_range)
    if mask is None:
        return similarity.mean((1, 2, 3))
    edge = WINDOW_SIDE // 2
    return _mean_inside(similarity, mask[..., edge:-edge, edge:-edge])


def crop_border(image: Tensor, border: int) -> Tensor:
    """`(…, H, W)` without `border` pixels on each side, where no method had its full surroundings."""
    return image[..., border:-border, border:-border] if border else image


def _ssim_map(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )


def _blur(image: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW_SIDE, dtype=image.dtype, device=image.device) - WINDOW_SIDE // 2
    window = torch.exp(-(offsets**2) / (2 * WINDOW_SIGMA**2))
    window = (window / window.sum()).expand(image.shape[1], 1, 1, -1)
    rows = F.conv2d(image, window.transpose(2, 3), groups=image.shape[1])
    return F.conv2d(rows, window, groups=image.shape[1])


def _mean_inside(values: Tensor, mask: Tensor) -> Tensor:
    weight = mask.to(values.dtype).expand_as(values)
    return (values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
