"""Low-resolution images made from high-resolution ones, and the bicubic way back. Needs numpy alone.

All degradations are linear up to noise, keep a constant image as it is, and put the low-resolution pixel in the middle
of the pixels it stands for. Results are not clipped: bicubic kernels and truncation overshoot [0, 1] at edges, and
cutting that off would not be the published protocol.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["bicubic", "kspace", "blur_noise"]
BLUR_PER_SCALE = 0.4  # standard deviation of the blur in pixels, for each step of scale
NOISE = 0.01  # standard deviation of the noise, as a share of the range

Image = NDArray[np.float32]
Taps = tuple[NDArray[np.int64], NDArray[np.float64]]  # (length, taps): which samples, with which weight


def degrade(image: Image, scale: int, kind: Kind, seed: int) -> Image:
    """`image` (H, W) in [0, 1] as a coarser device would have taken it, (H / scale, W / scale), not clipped.

    bicubic: antialiased, as MATLAB's `imresize`, the protocol of the super-resolution literature.
    kspace: the centre of the Fourier plane, as an MR scan with fewer phase and frequency steps.
    blur_noise: Gaussian blur, bicubic reduction, Gaussian noise; `seed` decides the noise and nothing else.
    Raises `ValueError` where the sides are no multiple of `scale`.
    """
    if image.ndim != 2 or image.shape[0] % scale or image.shape[1] % scale:
        raise ValueError(f"expected (rows, columns), both a multiple of {scale}, found {image.shape}")
    match kind:
        case "bicubic":
            return _reduce(image, scale)
        case "kspace":
            return _truncate(image, scale)
        case "blur_noise":
            blurred = _separable(image, *(_gaussian_taps(n, BLUR_PER_SCALE * scale) for n in image.shape))
            noise = np.random.default_rng(seed).normal(0, NOISE, [n // scale for n in image.shape])
            return np.asarray(_reduce(blurred, scale) + noise, np.float32)
        case _:
            raise ValueError(f"expected bicubic, kspace or blur_noise, found {kind!r}")


def enlarge(image: Image, scale: int) -> Image:
    """`image` (H, W) interpolated to (H * scale, W * scale) with the same kernel: the method called bicubic."""
    return resize(image, image.shape[0] * scale, image.shape[1] * scale)


def resize(image: Image, rows: int, columns: int) -> Image:
    """`image` (H, W) in another size, antialiased where it gets smaller; not clipped."""
    return _separable(image, _bicubic_taps(image.shape[0], rows), _bicubic_taps(image.shape[1], columns))


def _reduce(image: Image, scale: int) -> Image:
    return resize(image, image.shape[0] // scale, image.shape[1] // scale)


def _separable(image: Image, down: Taps, across: Taps) -> Image:
    columns = _weighted(image.astype(np.float64), down)
    return np.ascontiguousarray(_weighted(columns.T, across).T, np.float32)


def _weighted(image: NDArray[np.float64], taps: Taps) -> NDArray[np.float64]:
    """Each output row as a weighted sum of input rows, one tap at a time: memory stays that of the image."""
    indices, weights = taps
    total = np.zeros((len(indices), image.shape[1]))
    for index, weight in zip(indices.T, weights.T, strict=True):
        if weight.any():
            total += weight[:, None] * image[index]
    return total


@lru_cache(maxsize=64)
def _bicubic_taps(source: int, target: int) -> Taps:
    """MATLAB's `imresize`: Keys' kernel, stretched when reducing, mirrored at the border, weights that sum to 1."""
    ratio = target / source
    stretch = min(ratio, 1.0)
    centre = (np.arange(target) + 0.5) / ratio - 0.5
    first = np.floor(centre - 2 / stretch).astype(np.int64)
    index = first[:, None] + np.arange(int(np.ceil(4 / stretch)) + 2)
    weight = _keys((centre[:, None] - index) * stretch)
    return _mirrored(index, source), weight / weight.sum(axis=1, keepdims=True)


def _keys(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution with a = -0.5 (Keys, IEEE Trans. ASSP 1981)."""
    d = np.abs(distance)
    near, far = (1.5 * d - 2.5) * d**2 + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d <= 1, near, np.where(d <= 2, far, 0.0))


def _gaussian_taps(length: int, sigma: float) -> Taps:
    reach = int(np.ceil(4 * sigma))
    steps = np.arange(-reach, reach + 1)
    weight = np.exp(-0.5 * (steps / sigma) ** 2)
    index = np.arange(length)[:, None] + steps
    return _mirrored(index, length), np.broadcast_to(weight / weight.sum(), index.shape)


def _mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    mirror = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    return mirror[index % (2 * length)]


def _truncate(image: Image, scale: int) -> Image:
    """The lowest frequencies, back to an image of the same intensity.

    Truncation samples at each block's first pixel; the phase ramp moves that to its middle, where the other
    degradations and `enlarge` have it. The real part is taken, not the magnitude, so that dark ringing stays dark.
    """
    plane = np.fft.fft2(image.astype(np.float64))
    for axis, length in enumerate(image.shape):
        frequency = np.fft.fftfreq(length)
        kept = np.argsort(np.abs(frequency), kind="stable")[: length // scale]
        kept = np.sort(kept)
        ramp = np.exp(1j * np.pi * frequency[kept] * (scale - 1))
        plane = plane.take(kept, axis) * (ramp[:, None] if axis == 0 else ramp)
    return np.asarray(np.fft.ifft2(plane).real / scale**2, np.float32)
