"""Denoises an image before features are measured, by published methods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import denoise_nl_means, denoise_wavelet, estimate_sigma

from components.handover import StepError
from components.params.trainings import Denoiser

Image = NDArray[np.float32]


def denoised(image: Image, method: Denoiser) -> Image:
    """`image` (rows, columns) in [0, 1] without its noise; unchanged with method `none` or without noise.

    The noise's standard deviation is estimated from the finest wavelets of the image (Donoho & Johnstone 1994).
    """
    sigma = float(estimate_sigma(image)) if np.ptp(image) else 0.0
    if method == "none" or not sigma > 0:  # sigma is not a number where there is no detail
        return image
    return np.asarray(np.clip(DENOISERS[method](image, sigma), 0, 1), np.float32)


def _nlm(image: Image, sigma: float) -> NDArray[np.floating]:
    """Non-local means (Buades, Coll & Morel 2005), strength after scikit-image's guide: 0.8 σ, distances less 2 σ²."""
    return np.asarray(denoise_nl_means(image, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma))


def _wavelet(image: Image, sigma: float) -> NDArray[np.floating]:
    """Soft thresholds chosen for each band (BayesShrink: Chang, Yu & Vetterli 2000)."""
    return np.asarray(denoise_wavelet(image, sigma, method="BayesShrink", mode="soft", rescale_sigma=True))


def _bm3d(image: Image, sigma: float) -> NDArray[np.floating]:
    """Block matching and collaborative filtering (Dabov et al. 2007), the authors' own."""
    try:
        import bm3d
    except ImportError as error:
        raise StepError(
            "denoise: expected the package bm3d for bm3d, found none. Its licence allows non-commercial use only, so "
            "it is not installed with the rest: `pip install bm3d` where that licence suits, or choose nlm or wavelet."
        ) from error
    return np.asarray(bm3d.bm3d(image, sigma))


DENOISERS: dict[Denoiser, Callable[[Image, float], NDArray[np.floating]]] = {
    "nlm": _nlm,
    "wavelet": _wavelet,
    "bm3d": _bm3d,
}
