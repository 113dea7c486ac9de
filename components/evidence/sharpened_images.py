"""Held-out labelled images as each super-resolution method restores them, for the classifier to read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from components.handover import GENERATORS, LabelledRow, Layout, StepError
from components.handover.methods import DOWNSAMPLED, ORIGINAL, SHOWN
from components.imaging.degradation import degrade
from components.imaging.geometry import crop_to_multiple, fit_channels, planes_of
from components.learning.inference.upscaling import Upscale, bicubic_upscale, network_upscale
from components.learning.weights import check_unseen, load_weights
from components.params import Params, scale_of

Image = NDArray[np.float32]


def shown_images(
    layout: Layout, params: Params, rows: list[LabelledRow], size: int, channels: int, device: torch.device
) -> tuple[int, dict[str, NDArray[np.float32]]]:
    """The scale, and for each of `SHOWN` the images of `rows` as (N, channels, size, size) in [0, 1].

    Each image is degraded at its own resolution, as in preparation, and sharpened by each method. Only then is it
    fitted to the classifier's size; `downsampled` is fitted without sharpening. Colour images go channel by channel.
    """
    scale = scale_of(params)
    upscales = {"bicubic": bicubic_upscale(scale)} | dict(_networks(layout, rows, scale, device))
    images = {shown: np.zeros((len(rows), channels, size, size), np.float32) for shown in SHOWN}
    for number, row in enumerate(rows):
        original = _held_out(layout, row)
        planes = [np.ascontiguousarray(crop_to_multiple(plane, scale)) for plane in planes_of(original)]
        low = [degrade(plane, scale, params.prepare.degradation, params.seed + number) for plane in planes]
        images[ORIGINAL][number] = fit_channels(planes, size, channels)
        images[DOWNSAMPLED][number] = fit_channels(low, size, channels)
        for method, upscale in upscales.items():
            sharp = [upscale(torch.from_numpy(plane)[None, None]).float().clamp(0, 1) for plane in low]
            images[method][number] = fit_channels([plane[0, 0].numpy() for plane in sharp], size, channels)
    return scale, images


def _networks(
    layout: Layout, rows: list[LabelledRow], scale: int, device: torch.device
) -> Iterator[tuple[str, Upscale]]:
    for name in GENERATORS:
        network, config = load_weights(layout.model(name))
        check_unseen(layout.model(name), config, rows, "Split and train again.")
        yield name, network_upscale(network, scale, device)


def _held_out(layout: Layout, row: LabelledRow) -> Image:
    path = layout.held_out_labelled / f"{row.image_id}.npy"
    if not path.is_file():
        raise StepError(f"{path}: expected the held-out image, found no file. Run prepare again.")
    image: Image = np.load(path, allow_pickle=False)
    return image
