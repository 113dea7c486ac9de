"""The statistics of an image's pixels by which drift is measured."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.restoration import estimate_sigma

from components.dicom.frames import frame_values
from components.dicom.read import open_dicom, stored_frames
from components.imaging.decoding import BROKEN
from components.imaging.geometry import content_box
from components.imaging.intensity import luma, padding_of, percentile_range, to_unit

BLANK = 0.01  # as prepare cuts
STATISTICS = {
    "mean": "mean of the image in [0, 1]",
    "contrast": "standard deviation of the image",
    "edges": "mean length of the gradient",
    "noise": "standard deviation of the noise, estimated from the finest wavelet (Donoho and Johnstone 1994)",
    "fine_power": "share of the power above half the highest frequency",
    "side": "logarithm to base 2 of the geometric mean of rows and columns",
}
Image = NDArray[np.float32]


def measure(image: Image) -> dict[str, float]:
    """Every statistic of `image`, (rows, columns) in [0, 1]."""
    down, across = np.gradient(image.astype(np.float64))
    return {
        "mean": float(image.mean()),
        "contrast": float(image.std()),
        "edges": float(np.hypot(down, across).mean()),
        "noise": float(estimate_sigma(image)),
        "fine_power": _fine_power(image),
        "side": math.log2(math.sqrt(image.shape[0] * image.shape[1])),
    }


def observe(source: Path, percentiles: tuple[float, float]) -> tuple[str, dict[str, float]]:
    """Modality and statistics of the DICOM image `source`, brought to [0, 1] as images are before training.

    A film gives those of its middle frame. Statistics are empty where they cannot be computed, as where all pixels are
    equal or there is a single row. Raises `UnreadableImage`.
    """
    header = open_dicom(source)
    modality = str(header.get("Modality") or "OT")
    try:
        frame = _middle_frame(header)
        unit = to_unit(frame, *percentile_range(frame, *percentiles, padding_of(frame)))
        content = unit[content_box(unit, BLANK)]
        return modality, measure(content if min(content.shape) > 1 else unit)
    except BROKEN:
        return modality, {}


def _middle_frame(header: Dataset) -> Image:
    middle = int(header.get("NumberOfFrames") or 1) // 2
    values = frame_values(next(islice(stored_frames(header), middle, None)), header, middle)
    frame = luma(values[None])[0] if values.ndim == 3 else values
    return frame.max() + frame.min() - frame if header.PhotometricInterpretation == "MONOCHROME1" else frame


def _fine_power(image: Image) -> float:
    """The mean is subtracted, and a Hann window keeps the borders from counting as structure."""
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    power = np.abs(np.fft.rfft2((image - image.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None])
    total = float(power.sum())
    return float(power[radius > 0.25].sum()) / total if total else 0.0
