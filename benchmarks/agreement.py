"""Checks that both networks and both training loops give equal outputs, before anything is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks import contestants, drawn
from benchmarks.inference import plain_tiles
from benchmarks.results import Section
from benchmarks.sizes import ImageSize, StepSize, label
from benchmarks.timing import digits
from benchmarks.toolbox import BasicSRLoop, Toolbox, copy_weights
from components.handover import StepError
from components.learning.device import half_is_fast
from components.learning.inference.tiling import OVERLAP, TILE, sharpen_tiled
from components.learning.metrics.image_quality import psnr
from components.params.trainings import PixelTraining

FULL_TOLERANCE = 1e-5  # of the output's range: the order of a sum in float32
HALF_TOLERANCE_DB = 50.0  # PSNR against their float32: 0.3 % of the range in root mean square
LOSS_TOLERANCE = {"32-true": 1e-4, "bf16-mixed": 2e-2}  # relative, over the first steps
STEPS = 3
HEIGHT, WIDTH = 64, 2 * TILE - OVERLAP  # low-resolution pixels: tiles in a row, two of ours, three of theirs
UNSEAMED = 128  # the first columns of these, far from every seam

METHOD = f"""The same weights in both networks (fresh ones), the same input. Tolerances: a patch in float32 within
{FULL_TOLERANCE:g} of the output's range; tiles at least {HALF_TOLERANCE_DB:g} dB (peak: the output's range) from their
float32 network over the whole image at once; the losses of the first {STEPS} training steps within
{LOSS_TOLERANCE["32-true"]:g} (float32) and {LOSS_TOLERANCE["bf16-mixed"]:g} (bfloat16) of theirs."""


def check(toolbox: Toolbox, steps: Sequence[StepSize], images: Sequence[ImageSize], device: torch.device) -> Section:
    """The table of differences. Raises `StepError` that names every difference beyond its tolerance."""
    rows, problems = [], []
    for settings in _distinct([*(size.settings for size in steps), *(size.settings for size in images)]):
        for name, difference, agrees in _comparisons(toolbox, settings, device):
            rows.append((label(settings), name, difference))
            if not agrees:
                problems.append(f"{label(settings)}: {name}: {difference}")
    if problems:
        raise StepError("expected outputs equal to basicsr's before timing them, found:\n  " + "\n  ".join(problems))
    return Section("Equal outputs, checked before timing", METHOD, ("network", "comparison", "found"), rows)


def _distinct(all_settings: list[PixelTraining]) -> list[PixelTraining]:
    return [settings for n, settings in enumerate(all_settings) if settings not in all_settings[:n]]


def _comparisons(toolbox: Toolbox, settings: PixelTraining, device: torch.device) -> list[tuple[str, str, bool]]:
    ours = contestants.network(settings).to(device).eval()
    theirs = toolbox.build(settings).to(device).eval()
    copy_weights(ours, theirs)
    with _strict_float32():
        results = [_outputs(theirs, ours, settings, device), *_tiles(theirs, ours, settings, device)]
        results.append(_losses(toolbox, settings, device, "32-true"))
    precision = contestants.precision(settings, device)
    return results if precision == "32-true" else [*results, _losses(toolbox, settings, device, precision)]


@torch.inference_mode()
def _outputs(
    theirs: nn.Module, ours: nn.Module, settings: PixelTraining, device: torch.device
) -> tuple[str, str, bool]:
    low = drawn.low_resolution(settings.patch_size // settings.scale, settings.patch_size // settings.scale).to(device)
    reference = theirs(low)
    difference = float((ours(low) - reference).abs().max() / _range(reference))
    return "one patch, float32", f"largest difference {difference:.1e} of the range", difference <= FULL_TOLERANCE


@torch.inference_mode()
def _tiles(
    theirs: nn.Module, ours: nn.Module, settings: PixelTraining, device: torch.device
) -> list[tuple[str, str, bool]]:
    low = drawn.low_resolution(HEIGHT, WIDTH)
    reference = theirs(low.to(device)).cpu()
    scale, half = settings.scale, half_is_fast(device)
    images = {
        "their tiles, float32": plain_tiles(theirs, low.to(device), scale).cpu(),
        "our tiles, float32": sharpen_tiled(ours, low, scale, half=False),
        f"our tiles, {'bfloat16 between the outer layers' if half else 'float32'}, as timed": sharpen_tiled(
            ours, low, scale
        ),
    }
    return [(name, *_against(image, reference, scale)) for name, image in images.items()]


def _against(image: Tensor, reference: Tensor, scale: int) -> tuple[str, bool]:
    """PSNR over the whole image, and the largest difference far from the seams of either loop."""
    decibels = float(psnr(image, reference, data_range=_range(reference)))
    inside = float((image - reference)[..., : UNSEAMED * scale].abs().max() / _range(reference))
    return f"{digits(decibels)} dB, largest difference far from seams {inside:.1e}", decibels >= HALF_TOLERANCE_DB


def _losses(toolbox: Toolbox, settings: PixelTraining, device: torch.device, precision: str) -> tuple[str, str, bool]:
    batches = contestants.held(settings, device)
    ours = contestants.network(settings)
    loop = BasicSRLoop(toolbox, settings, batches, device)
    copy_weights(ours, loop.network)
    phase = contestants.phase(ours, settings, contestants.HeldBatches(batches), device, precision)
    their_losses = _trained(loop.step)
    our_losses = _trained(lambda step: float(phase.step(step)["pixel_loss"]))
    worst = max(abs(a - b) / b for a, b in zip(our_losses, their_losses, strict=True))
    return (
        f"losses of {STEPS} steps, {precision}",
        f"largest difference {worst:.1e}",
        worst <= LOSS_TOLERANCE[precision],
    )


def _trained(step: Callable[[int], float]) -> list[float]:
    return [step(number) for number in range(STEPS)]


@contextmanager
def _strict_float32() -> Iterator[None]:
    """Makes a GPU convolve in float32, not TF32, for the length of the block."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _range(image: Tensor) -> float:
    return float(image.max() - image.min())
