"""What sharpening costs: time, memory, and an estimate of energy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]
import torch

from components.evidence.compared_methods import Method
from components.handover.sr_rows import CostLine

EVERY_S = 0.01  # between two looks at the memory
SECONDS_PER_HOUR = 3600
MEGA = 1e6


@dataclass
class _Spent:
    seconds: float = 0.0
    pixels: int = 0
    images: int = 0
    peak_bytes: int = 0


@dataclass
class Meter:
    """Adds up what each method spends. On a GPU memory is that of the GPU, else what the process holds in RAM."""

    device: torch.device
    _spent: dict[str, _Spent] = field(default_factory=dict)

    @contextmanager
    def running(self, name: str, pixels: int) -> Iterator[None]:
        """While the block sharpens an image of `pixels` by the method `name`."""
        spent = self._spent.setdefault(name, _Spent())
        with _PeakMemory(self.device) as memory:
            started = time.perf_counter()
            yield
            spent.seconds += time.perf_counter() - started
        spent.pixels, spent.images = spent.pixels + pixels, spent.images + 1
        spent.peak_bytes = max(spent.peak_bytes, memory.grown)

    def lines(self, compared_methods: Sequence[Method], watts: float) -> list[CostLine]:
        """One line for each of ours; what other programs spent is not known."""
        known = [one for one in compared_methods if one.name == "bicubic" or one.parameters]
        return [self._line(one, self._spent[one.name], watts) for one in known]

    def _line(self, one: Method, spent: _Spent, watts: float) -> CostLine:
        return CostLine(
            method=one.name,
            device=self.device.type,
            parameters=one.parameters,
            weights_mb=one.weights_bytes / MEGA,
            train_seconds=one.train_seconds,
            seconds_per_megapixel=spent.seconds / spent.pixels * MEGA,
            peak_memory_mb=spent.peak_bytes / MEGA,
            train_wh=one.train_seconds * watts / SECONDS_PER_HOUR,
            sharpen_wh_per_image=spent.seconds / spent.images * watts / SECONDS_PER_HOUR,
        )


class _PeakMemory:
    """How far memory grew while a block ran, `grown` bytes."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._ended, self.grown = device, threading.Event(), 0

    def __enter__(self) -> _PeakMemory:
        self._before = self._held()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.grown = torch.cuda.max_memory_allocated(self._device) - self._before
        else:
            self._ended.set()
            self._watcher.join()
            self._look()

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        self.grown = max(self.grown, self._held() - self._before)

    def _held(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.memory_allocated(self._device))
        return int(psutil.Process().memory_info().rss)
