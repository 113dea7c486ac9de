"""Scores a network on a folder of natural pictures, by the protocol of the published tables."""

from __future__ import annotations

from pathlib import Path

from components.handover import StepError
from components.learning.device import best_device
from components.learning.inference.tiling import sharpen_tiled
from components.learning.inference.upscaling import Upscale, bicubic_upscale
from components.learning.weights import load_weights
from components.natural_images import protocol
from components.natural_images.folder import (
    UnusablePicture,
    paired,
    read_pair,
    refuse,
)
from components.natural_images.protocol import PictureScore, Table

BICUBIC = "bicubic"
TILE, OVERLAP = 320, 32  # low-resolution pixels: the pictures of the usual x4 test sets go through whole


def score(images: Path, low: Path | None, scale: int, model: str) -> Table:
    """Scores of `model`, `bicubic` or a folder of weights, on the pictures in `images`, by the published protocol.

    Low-resolution pictures come from the folder `low` or from beside the originals (`folder.paired`), or are reduced
    originals. Raises `StepError` naming every picture that cannot be scored.
    """
    upscale, originals = _upscale(model, scale), paired(images, low, scale)
    rows, problems = [], []
    for picture in originals:
        try:
            *scores, _ = protocol.score(upscale, *read_pair(picture, scale), scale)
            rows.append(PictureScore(picture.name, *scores))
        except UnusablePicture as error:
            problems.append(f"{picture.path}: {error}")
    refuse(problems)
    return Table(model, scale, "found" if originals[0].low else "made here", tuple(rows))


def _upscale(model: str, scale: int) -> Upscale:
    if model == BICUBIC:
        return bicubic_upscale(scale)
    network, config = load_weights(Path(model))
    network_scale = config["network"].get("scale", "none")
    if network_scale != scale:
        raise StepError(f"{model}: expected a network of scale {scale}, found {network_scale}. Ask for that --scale.")
    network = network.to(best_device())
    return lambda image: sharpen_tiled(network, image, scale, TILE, OVERLAP, half=False)  # full precision, as in papers
