"""Where in the frequency plane an error lies: what the input could support, and what is beyond it.

A low-resolution image at 1 / scale holds nothing beyond its own Nyquist frequency, 0.5 / scale cycles a pixel of the
high-resolution grid along either axis. Whatever a method shows beyond that it has supplied itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

BINS = 32  # rings of the radial spectrum, from 0 to 0.5 cycles a pixel
BANDS = ("low", "middle", "beyond")  # up to half the input's Nyquist frequency, up to it, beyond it


@dataclass(frozen=True)
class Bands:
    """One image's energies, each as a share of the original's energy in that band.

    `error` is the energy of the difference: 0 is perfect, 1 is as wrong as a blank image. `energy` is the energy of the
    estimate: 1 is as much as the original has, right or wrong.
    """

    error: dict[str, float]
    energy: dict[str, float]


def transform(images: Tensor) -> Tensor:
    """The half plane of frequencies of `images` `(B, 1, H, W)`, under a Hann window so that borders do not leak.

    The mean under the window is subtracted first, for it would leak into the lowest frequencies.
    """
    rows, columns = (
        torch.hann_window(length, periodic=False, dtype=torch.float64, device=images.device)
        for length in images.shape[-2:]
    )
    window = rows[:, None] * columns
    mean = (images.double() * window).sum((-2, -1), keepdim=True) / window.sum()
    spectrum: Tensor = torch.fft.rfft2((images.double() - mean) * window)
    return spectrum


def bands(estimate: Tensor, reference: Tensor, width: int, height: int, scale: int) -> list[Bands]:
    """Each `estimate` `(B, 1, …)` against `reference` `(1, 1, …)`, both by `transform` from `height` x `width`.

    Bands are square, as the grid of the low-resolution image is: a frequency belongs where the larger of its two
    components does. An image's mean is in no band.
    """
    masks = _band_masks(height, width, scale, estimate.device)
    reference_energy = _energy(reference)
    totals = {name: float((reference_energy * mask).sum()) for name, mask in masks.items()}
    error, energy = _energy(estimate - reference), _energy(estimate)
    return [
        Bands(
            *(
                {name: _share(plane, masks[name], totals[name]) for name in BANDS}
                for plane in (error_plane, energy_plane)
            )
        )
        for error_plane, energy_plane in zip(error, energy, strict=True)
    ]


def beyond(images: Tensor, scale: int) -> Tensor:
    """The part of `images` `(B, 1, H, W)`, float64, that lies beyond the input's Nyquist frequency, as an image.

    It uses the cosine transform, which mirrors the image at its border: no taper and no leakage there.
    """
    down, across = (_low_cosines(length, scale, images.device) for length in images.shape[-2:])
    supported: Tensor = down.T @ (down @ images @ across.T) @ across
    return images - supported


def radial_power(plane: Tensor, height: int, width: int) -> Tensor:
    """Mean power in each of `BINS` rings of equal width, `(B, BINS)`; not a number in a ring without a frequency."""
    index, weight = _rings(height, width, plane.device)
    power = (_energy(plane) / (height * width)).flatten(1)
    inside = index < BINS
    sums = torch.zeros(len(power), BINS, dtype=torch.float64, device=plane.device)
    sums.index_add_(1, index[inside], (power * weight)[:, inside])
    counts = torch.zeros(BINS, dtype=torch.float64, device=plane.device).index_add_(0, index[inside], weight[inside])
    return sums / counts


def ring_centres() -> list[float]:
    """The frequency in the middle of each ring, cycles a pixel."""
    return [(number + 0.5) * 0.5 / BINS for number in range(BINS)]


def _share(plane: Tensor, mask: Tensor, total: float) -> float:
    energy = float((plane * mask).sum())
    return energy / total if total > 0 else math.inf if energy > 0 else 0.0


def _energy(plane: Tensor) -> Tensor:
    """`(B, H, W / 2 + 1)`: the squared magnitude of each frequency."""
    return plane.real.square().add_(plane.imag.square())[:, 0]


@lru_cache(maxsize=16)
def _low_cosines(length: int, scale: int, device: torch.device) -> Tensor:
    """The orthonormal cosines up to the input's Nyquist frequency, `(K, length)`; the k-th has k / 2 periods."""
    pixel = torch.arange(length, dtype=torch.float64, device=device)
    waves = torch.cos(math.pi * pixel[: length // scale + 1, None] * (pixel + 0.5) / length)
    cosines: Tensor = waves / waves.norm(dim=1, keepdim=True)
    return cosines


@lru_cache(maxsize=16)
def _band_masks(height: int, width: int, scale: int, device: torch.device) -> dict[str, Tensor]:
    """Each band's weight of every frequency; a frequency of the half plane that stands for two counts twice."""
    down, across = _frequencies(height, width, device)
    relative = torch.maximum(down.abs()[:, None], across.abs()[None, :]) / (0.5 / scale)
    weight = _half_plane_weight(width, device).expand_as(relative)
    inside = {
        "low": (relative > 0) & (relative <= 0.5),
        "middle": (relative > 0.5) & (relative <= 1),
        "beyond": relative > 1,
    }
    return {name: weight * inside[name] for name in BANDS}


@lru_cache(maxsize=16)
def _rings(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every frequency of the flattened half plane its ring, `BINS` for those outside all, and its weight."""
    down, across = _frequencies(height, width, device)
    radius = torch.hypot(down[:, None], across[None, :])
    index = (radius / 0.5 * BINS).long().clamp_max(BINS)
    return index.flatten(), _half_plane_weight(width, device).expand_as(radius).flatten()


def _frequencies(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    down = torch.fft.fftfreq(height, dtype=torch.float64, device=device)
    return down, torch.fft.rfftfreq(width, dtype=torch.float64, device=device)


def _half_plane_weight(width: int, device: torch.device) -> Tensor:
    weight = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64, device=device)
    weight[0] = 1.0
    if width % 2 == 0:
        weight[-1] = 1.0
    return weight
