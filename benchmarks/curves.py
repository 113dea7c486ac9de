"""Cost against the size of an image and of a network, as tables and one picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import inference, training
from benchmarks.operations import TRAINING, forward_work
from benchmarks.results import Section
from benchmarks.sizes import ImageSize, StepSize, label
from benchmarks.timing import Times, digits, quotients, spread
from benchmarks.toolbox import Toolbox

Points = list[tuple[float, dict[str, Times]]]  # a size on the axis, and the times there


def sections(
    toolbox: Toolbox,
    images: Sequence[ImageSize],
    steps: Sequence[StepSize],
    calls: int,
    device: torch.device,
    picture: Path,
) -> tuple[Section, Section]:
    """Both tables. Draws `picture` too."""
    by_image = [(size, inference.timed(toolbox, size, device)) for size in images]
    by_network = [(size, training.timed(toolbox, size, device, calls)) for size in steps]
    per_pixel: Points = [(_megapixels(size), _per_megapixel(size, times)) for size, times in by_image]
    per_step: Points = [(_gigaflop(toolbox, size), times) for size, times in by_network]
    _draw(picture, per_pixel, per_step)
    return _image_section(images, per_pixel), _network_section(steps, per_step, picture.name)


def _image_section(images: Sequence[ImageSize], points: Points) -> Section:
    method = (
        f"""Inference as above, {label(images[0].settings)}, growing images. Seconds a megapixel of low resolution."""
    )
    columns = ("image", "megapixels", "basicsr, s a megapixel", "medsr, s a megapixel", "times faster")
    rows = [
        (f"{size.width} × {size.height}", digits(megapixels), *_both(times, 1.0))
        for size, (megapixels, times) in zip(images, points, strict=True)
    ]
    return Section("Cost against the size of an image", method, columns, rows)


def _network_section(steps: Sequence[StepSize], points: Points, figure: str) -> Section:
    settings = steps[0].settings
    method = f"A training step as above, growing networks, HR patch {settings.patch_size}, batch {settings.batch_size}."
    columns = ("network", "GFLOP a step", "basicsr, ms", "medsr, ms", "times faster")
    rows = [
        (label(size.settings), digits(gigaflop), *_both(times, 1000.0))
        for size, (gigaflop, times) in zip(steps, points, strict=True)
    ]
    return Section("Cost against the size of a network", method, columns, rows, figure=figure)


def _both(times: dict[str, Times], unit: float) -> tuple[str, str, str]:
    theirs, ours = times["basicsr"], times["medsr"]
    return digits(unit * theirs.median), digits(unit * ours.median), spread(quotients(theirs, ours))


def _megapixels(size: ImageSize) -> float:
    return size.height * size.width / 1e6


def _per_megapixel(size: ImageSize, times: dict[str, Times]) -> dict[str, Times]:
    return {name: Times(tuple(s / _megapixels(size) for s in timed.seconds)) for name, timed in times.items()}


def _gigaflop(toolbox: Toolbox, size: StepSize) -> float:
    settings = size.settings
    side = settings.patch_size // settings.scale
    work = forward_work(partial(toolbox.build, settings), (settings.batch_size, 1, side, side))
    return TRAINING * work.operations / 1e9


def _draw(path: Path, images: Points, steps: Points) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = path.name
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    _plot(left, images, "low-resolution megapixels", "s a megapixel")
    _plot(right, steps, "GFLOP a training step", "s a step")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _plot(axes: Any, points: Points, across: str, up: str) -> None:
    for name, mark in (("basicsr", "o--"), ("medsr", "s-")):
        axes.loglog([size for size, _ in points], [times[name].median for _, times in points], mark, label=name)
    axes.set(xlabel=across, ylabel=up)
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
