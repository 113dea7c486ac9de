"""Ultrasound-like pictures with and without letters in them, drawn by code: nothing real."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Grey = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def speckle(rows: int, columns: int, seed: int = 0) -> Grey:
    """Log-compressed speckle over tissue of changing brightness, (rows, columns)."""
    random = np.random.default_rng(seed)
    real, imaginary = (gaussian_filter(random.normal(size=(rows, columns)), (0.8, 1.6)) for _ in range(2))
    amplitude = np.hypot(real, imaginary) / 0.3
    tissue = gaussian_filter(random.normal(size=(rows, columns)), 25)
    tissue = np.exp(1.5 * tissue / max(float(tissue.std()), 1e-9))
    grey: Grey = np.clip(22 * np.log1p(6 * amplitude * tissue), 0, 255).astype(np.uint8)
    return grey


def letters(
    picture: NDArray[Any],
    text: str,
    x: int,
    y: int,
    size: int = 20,
    brighter: int = 255,
    font: Font | None = None,
    smooth: bool = True,
) -> tuple[int, int, int, int]:
    """Adds `text` to `picture` (rows, columns[, 3]), in place; the box of its ink: x0, y0, x1, y1, both ends included.

    `size` is the font's, in pixels; letters are `brighter` by that many of 255 grey levels than what they cover.
    `smooth` letters have grey edges, as those of newer machines do.
    """
    layer = Image.new("L", picture.shape[1::-1])
    draw = ImageDraw.Draw(layer)
    draw.fontmode = "L" if smooth else "1"
    draw.text((x, y), text, 255, font or ImageFont.load_default(size))
    ink = np.asarray(layer) / 255
    ink = ink[..., None] if picture.ndim == 3 else ink
    picture[:] = np.clip(picture + brighter * ink, 0, 255).astype(picture.dtype)
    box = layer.getbbox()
    if box is None:
        raise ValueError(f"{text!r} at {x}, {y} is outside the picture, or the font has no such letters")
    return box[0], box[1], box[2] - 1, box[3] - 1
