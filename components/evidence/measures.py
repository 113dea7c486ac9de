"""Every measure of a sharpened image against its original and its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from components.evidence import spectrum
from components.imaging.degradation import Kind, degrade
from components.learning.datasets.pairs import Pair
from components.learning.metrics.image_quality import (
    MS_SSIM_LEAST_SIDE,
    centres,
    crop_border,
    mean_inside,
    ms_ssim,
    psnr,
    similarity_maps,
)

WORST_PART = 8  # low-resolution pixels: a side of the square in which consistency is least, or error greatest
UNSEEN = 1 / (12 * 255**2)  # mean square of what rounding to 256 greys does to an image in [0, 1]

Distance = Callable[[Tensor, Tensor], float]

# measure: its name, its formula, what it says, its source; the report prints this, and nothing else defines them
DEFINITIONS = {
    "psnr_db": (
        "PSNR (dB)",
        "10 log₁₀(1 / mean (x − y)²)",
        "How near each value is to the original's. Higher is better.",
        "ISO/IEC 29170-1",
    ),
    "ssim": (
        "SSIM",
        "mean of (2μₓμᵧ + c₁)(2σₓᵧ + c₂) / ((μₓ² + μᵧ² + c₁)(σₓ² + σᵧ² + c₂)); Gaussian window, σ = 1.5",
        "How near local brightness, contrast and structure are; 1 is perfect.",
        "Wang et al., IEEE TIP 13(4), 2004",
    ),
    "psnr_body_db": ("PSNR in the body", "PSNR over the body mask", "As PSNR, without the background.", ""),
    "ssim_body": (
        "SSIM in the body",
        "SSIM of windows centred in the body mask",
        "As SSIM, without the background.",
        "",
    ),
    "ms_ssim": (
        "MS-SSIM",
        "SSIM₅^0.1333 · Π cs(j)^w(j), j = 1 … 4, halving from scale to scale",
        "SSIM at five scales; 1 is perfect. Not defined for sides of fewer than 176 pixels.",
        "Wang, Simoncelli & Bovik, Asilomar 2003",
    ),
    "lpips": (
        "LPIPS",
        "weighted distance of AlexNet's features",
        "How alike two images look to people; 0 is perfect. Learned on photographs. Needs its weights at hand.",
        "Zhang et al., CVPR 2018",
    ),
    "edge_error": (
        "Edge error",
        "mean | |∇x| − |∇y| | / mean |∇y|, central differences",
        "How wrong edges are, as a share of all there are; 0 is perfect.",
        "",
    ),
    "error_low": (
        "Error, low frequencies",
        "Σ |X − Y|² / Σ |Y|² up to half the input's Nyquist frequency; Hann window",
        "What the input shows plainly; 0 is perfect.",
        "",
    ),
    "error_middle": (
        "Error, middle frequencies",
        "the same from half the input's Nyquist frequency to all of it",
        "What the input shows attenuated and aliased; 0 is perfect.",
        "",
    ),
    "error_beyond": (
        "Error beyond the input",
        "the same beyond the input's Nyquist frequency",
        "Detail that the input does not hold: 0 is perfect, 1 is none at all, above 1 it is wrong more than right.",
        "",
    ),
    "error_beyond_worst": (
        "Error beyond the input, worst part",
        "greatest of mean |h(x − y)|² / max(mean |h(y)|² there, mean |h(y)|² of the image, 1 / (12 · 255²)) over "
        "squares of 8 × 8 input pixels; h keeps what is beyond the input's Nyquist frequency, by cosine transform",
        "Texture drawn into one place, at the border too: 1 is no detail at all. Above 4 more is shown there than the "
        "original has there, or elsewhere on average: misplacing its own cannot come to more. What 256 greys cannot "
        "show does not count.",
        "triangle inequality: |x − y|² ≤ 4 |y|² where |x| ≤ |y|",
    ),
    "energy_beyond": (
        "Energy beyond the input",
        "Σ |X|² / Σ |Y|² beyond the input's Nyquist frequency",
        "How much such detail is shown, right or wrong, as a share of the original's.",
        "",
    ),
    "consistency_db": (
        "Consistency (dB)",
        "PSNR of D(x) against the input; D is the degradation, without its noise",
        "Whether the sharpened image, made coarse again, gives back its input. Higher is better.",
        "Lugmayr et al., NTIRE 2021 (LR-PSNR)",
    ),
    "consistency_worst_db": (
        "Consistency, worst part (dB)",
        "the same in the square of 8 × 8 input pixels where it is least",
        "Something drawn into one place shows here and drowns in the mean. Higher is better.",
        "",
    ),
}


@dataclass(frozen=True)
class Measured:
    """One image under one method: a value for each of `DEFINITIONS`."""

    psnr_db: float
    ssim: float
    psnr_body_db: float
    ssim_body: float
    ms_ssim: float | None
    lpips: float | None
    edge_error: float
    error_low: float
    error_middle: float
    error_beyond: float
    error_beyond_worst: float
    energy_beyond: float
    consistency_db: float
    consistency_worst_db: float


def measure(
    estimates: Tensor, pair: Pair, scale: int, degradation: Kind, distance: Distance | None = None
) -> list[Measured]:
    """Each of `estimates` `(M, 1, H, W)` in [0, 1], all of the one image `pair`, against its original and its input.

    Every measure leaves out `scale` pixels at the border. `distance` is LPIPS, where its weights are at hand.
    Computed on the device that `estimates` are on, in float64.
    """
    device = estimates.device
    original, body = (crop_border(image[None].to(device), scale) for image in (pair.high, pair.body))
    reference = Reference(original.double(), body, scale)
    measured = []
    for estimate in estimates:
        inner = crop_border(estimate[None], scale).double()
        measured.append(
            Measured(
                **_structure(inner, reference),  # type: ignore[arg-type]
                edge_error=_edge_error(inner, reference),
                **_bands(inner, reference),
                **_consistency(estimate, pair, scale, degradation),
                lpips=distance(inner.float(), original) if distance else None,
            )
        )
    return measured


class Reference:
    """An original and what its measures need, computed once: `image` `(1, 1, H, W)` in float64, `body` bool."""

    def __init__(self, image: Tensor, body: Tensor, scale: int) -> None:
        self.image, self.body, self.scale = image, body, scale
        self.gradient = _gradient(image)
        self.plane = spectrum.transform(image)
        detail = spectrum.beyond(image, scale).square()
        self.detail = _local_means(detail, scale).clamp_min(max(float(detail.mean()), UNSEEN))


def _structure(estimate: Tensor, reference: Reference) -> dict[str, float | None]:
    maps = similarity_maps(estimate, reference.image)
    large = min(estimate.shape[-2:]) >= MS_SSIM_LEAST_SIDE
    return {
        "psnr_db": float(psnr(estimate, reference.image)),
        "psnr_body_db": float(psnr(estimate, reference.image, mask=reference.body)),
        "ssim": float(maps[0].mean()),
        "ssim_body": float(mean_inside(maps[0], centres(reference.body))),
        "ms_ssim": float(ms_ssim(estimate, reference.image, finest=maps)) if large else None,
    }


def _edge_error(estimate: Tensor, reference: Reference) -> float:
    error, gradient = (_gradient(estimate) - reference.gradient).abs().mean(), reference.gradient.mean()
    return float(error / gradient) if gradient > 0 else float(error > 0)


def _gradient(image: Tensor) -> Tensor:
    return torch.hypot(*torch.gradient(image, dim=(-2, -1)))


def _bands(estimate: Tensor, reference: Reference) -> dict[str, float]:
    height, width = estimate.shape[-2:]
    bands = spectrum.bands(spectrum.transform(estimate), reference.plane, width, height, reference.scale)[0]
    detail_error = _local_means(spectrum.beyond(estimate - reference.image, reference.scale).square(), reference.scale)
    return {f"error_{name}": bands.error[name] for name in spectrum.BANDS} | {
        "error_beyond_worst": float((detail_error / reference.detail).max()),
        "energy_beyond": bands.energy["beyond"],
    }


def _local_means(energy: Tensor, scale: int) -> Tensor:
    """Means of `energy` `(1, 1, H, W)` over every square of `WORST_PART` low-resolution pixels a side."""
    coarse = F.avg_pool2d(energy, scale)
    return F.avg_pool2d(coarse, [min(WORST_PART, side) for side in coarse.shape[-2:]], stride=1)


def _consistency(estimate: Tensor, pair: Pair, scale: int, degradation: Kind) -> dict[str, float]:
    """PSNR of the degraded estimate against the input, both clipped to [0, 1]."""
    coarse = _degraded(estimate[0].cpu(), scale, degradation).clamp(0, 1)
    residual = crop_border((coarse - pair.low[0].clamp(0, 1)) ** 2, 1)[None].double()
    worst = _local_means(residual, 1).max()
    return {"consistency_db": _decibels(residual.mean()), "consistency_worst_db": _decibels(worst)}


def _degraded(image: Tensor, scale: int, degradation: Kind) -> Tensor:
    """`image` degraded without noise: the seed alone decides the noise, so a degraded blank image is that noise."""
    degraded = torch.from_numpy(degrade(image.numpy(), scale, degradation, 0))
    if degradation == "blur_noise":
        degraded = degraded - torch.from_numpy(degrade(torch.zeros_like(image).numpy(), scale, degradation, 0))
    return degraded


def _decibels(error: Tensor) -> float:
    return float(-10 * torch.log10(error))
