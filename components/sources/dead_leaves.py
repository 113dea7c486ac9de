"""Simulated images of dead leaves, to train on and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from components.handover import StepError
from components.imaging.picture_files import PixelArray
from components.params import Params
from components.simulation.dead_leaves import dead_leaves
from components.sources.items import Picture

SIDE = 384  # pixels
BITS = 16


def items(place: str, settings: Params) -> Iterator[Picture]:
    """As many images as `place` says, all of one patient that there is not. Raises `StepError` for no number."""
    if not place.isdecimal() or int(place) < 1:
        raise StepError(f"source leaves:{place}: expected how many images to simulate, as in leaves:100.")
    return (
        Picture(f"leaves_{number:05d}", "leaves", partial(_read, settings.seed, number), simulated=True)
        for number in range(int(place))
    )


def _read(seed: int, number: int) -> PixelArray:
    return PixelArray(dead_leaves(seed, number, SIDE)[None], BITS)
