"""A training step: basicsr's loop on batches in memory, against ours that also cuts its batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import contestants
from benchmarks.operations import TRAINING, Ceiling, Work, forward_work, step_bytes
from benchmarks.results import Section
from benchmarks.sizes import StepSize, label
from benchmarks.timing import Times, digits, in_turns, quotients, spread, synchronise, typical
from benchmarks.toolbox import BasicSRLoop, Toolbox, copy_weights
from components.learning.training.patches import Patches
from components.learning.training.pixel_phase import PixelPhase

PARTS = ("data", "forward", "backward", "optimiser and average")
COLUMNS = (
    "network", "HR patch", "batch", "basicsr, ms", "medsr, ms", "times faster", "basicsr, of ceiling",
    "medsr, of ceiling", "GFLOP a step", "operations' floor, ms", "bytes' floor, ms",
)  # fmt: skip
METHOD = """basicsr: `SRModel.feed_data` and `optimize_parameters` in float32 as torch sets it (TF32 in a GPU's
convolutions), L1, Adam, average of weights; its batches lie in the device's memory already. Ours: `PixelPhase.step` in
{}, with its batches cut and turned by `Patches` inside the time. GFLOP: the convolutions' multiply-adds × 2, forward
× 3. Floors: these at the ceiling of the precision ours runs in; and every convolution's inputs, weights and outputs
moved once a pass, with Adam's and the average's state, at the speed of a copy."""


@dataclass(frozen=True)
class Measured:
    """One size: times of a step, and our step split into parts (mean seconds)."""

    size: StepSize
    work: Work  # of a forward pass
    times: dict[str, Times]  # basicsr, medsr, and medsr on held batches
    parts: dict[str, float]


class _Marks:
    """Seconds since the last mark, collected under the name of the part that ends there."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._last = device, 0.0
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str = "") -> None:
        synchronise(self._device)
        now = time.perf_counter()
        if part:
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


class _MarkedPatches:
    """`Patches`, with a mark before and after each batch."""

    def __init__(self, patches: Patches, mark: _Marks) -> None:
        self._patches, self._mark = patches, mark

    def batch(self, step: int, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        self._mark("optimiser and average")  # gradients are dropped before
        batch = self._patches.batch(step, part, parts)
        self._mark("data")
        return batch


def timed(toolbox: Toolbox, size: StepSize, device: torch.device, calls: int) -> dict[str, Times]:
    """Seconds of a step of `basicsr`, of `medsr`, and of `held`: ours on batches that lie in memory."""
    settings, batches = size.settings, contestants.held(size.settings, device)
    loop = BasicSRLoop(toolbox, settings, batches, device)
    copy_weights(contestants.network(settings), loop.network)
    steps: dict[str, Callable[[int], Any]] = {"basicsr": loop.step}
    for name, data in (("medsr", contestants.patches(settings, device)), ("held", contestants.HeldBatches(batches))):
        precision = contestants.precision(settings, device)
        steps[name] = contestants.phase(contestants.network(settings), settings, data, device, precision).step
    return in_turns(steps, size.rounds, device, calls)


def measure(toolbox: Toolbox, size: StepSize, device: torch.device, calls: int) -> Measured:
    """Measures one size."""
    settings = size.settings
    side = settings.patch_size // settings.scale
    work = forward_work(partial(toolbox.build, settings), (settings.batch_size, 1, side, side))
    return Measured(size, work, timed(toolbox, size, device, calls), _split(size, device))


def section(measured: Sequence[Measured], ceiling: Ceiling, device: torch.device) -> Section:
    """The table of whole steps."""
    faster = (f"{typical(m.times['basicsr'], m.times['medsr'])} ({label(m.size.settings)})" for m in measured)
    method = METHOD.format(contestants.precision(measured[0].size.settings, device))
    finding = f"training step, times faster than basicsr: {', '.join(faster)}"
    return Section("Training step", method, COLUMNS, [_row(m, ceiling) for m in measured], finding)


def split_section(measured: Sequence[Measured]) -> Section:
    """The table of the parts of our steps, and of their wait for data."""
    method = """Ours, in a separate run with a wait for the device after every part. Waiting for data: how much longer a
step takes with its batch cut than with one that lies in memory, medians of the timed rounds, where nothing waits in
between; below the noise of rounds it says nothing, and the share of `data` is the bound."""
    rows = [_split_row(m) for m in measured]
    longest, wait = (max(share(m) for m in measured) for share in (_data_share, _waiting))
    finding = f"data: {longest:.1%} of a step with waits after every part, {wait:.1%} waited for without, at most"
    return Section("Where a step's time goes", method, ("network", *PARTS, "waiting for data"), rows, finding)


def _row(measured: Measured, ceiling: Ceiling) -> tuple[str, ...]:
    settings, theirs, ours = measured.size.settings, measured.times["basicsr"], measured.times["medsr"]
    operations = TRAINING * measured.work.operations
    moved = step_bytes(measured.work, 2 if ceiling.half else 4)
    return (
        label(settings),
        str(settings.patch_size),
        str(settings.batch_size),
        theirs.in_milliseconds(),
        ours.in_milliseconds(),
        spread(quotients(theirs, ours)),
        f"{operations / theirs.median / ceiling.full:.0%}",
        f"{operations / ours.median / ceiling.fast:.0%}",
        digits(operations / 1e9),
        digits(1000 * operations / ceiling.fast),
        digits(1000 * moved / ceiling.bandwidth),
    )


def _split_row(measured: Measured) -> tuple[str, ...]:
    total = sum(measured.parts.values())
    shares = (f"{digits(1000 * measured.parts[part])} ms, {measured.parts[part] / total:.1%}" for part in PARTS)
    return (label(measured.size.settings), *shares, f"{_waiting(measured):.1%}")


def _data_share(measured: Measured) -> float:
    return measured.parts["data"] / sum(measured.parts.values())


def _waiting(measured: Measured) -> float:
    with_data, without = measured.times["medsr"].median, measured.times["held"].median
    return max(0.0, with_data - without) / with_data


def _split(size: StepSize, device: torch.device) -> dict[str, float]:
    """Seconds of each part of our step, means over the rounds."""
    settings, mark = size.settings, _Marks(device)
    data: Any = _MarkedPatches(contestants.patches(settings, device), mark)
    phase = contestants.phase(
        contestants.network(settings), settings, data, device, contestants.precision(settings, device)
    )
    _watch(phase, mark)
    phase.step(0)
    mark.seconds.clear()
    for step in range(size.rounds):
        mark()
        phase.step(step)
        mark("optimiser and average")
    return {part: mark.seconds[part] / size.rounds for part in PARTS}


def _watch(phase: PixelPhase, mark: _Marks) -> None:
    """Marks where the forward pass ends, and where the backward pass does because the optimiser starts."""
    phase._wrapped.register_forward_hook(lambda *_: mark("forward"))
    optimiser: Any = phase.optimisers["generator"]
    optimiser.optimizer.register_step_pre_hook(lambda *_: mark("backward"))
