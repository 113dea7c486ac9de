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

SAMPLE_EVERY_S = 0.01  # between two readings of the memory
SECONDS_PER_HOUR = 3600
MEGA = 1e6


@dataclass
class _Usage:
    seconds: float = 0.0
    pixels: int = 0
    images: int = 0
    peak_bytes: int = 0


@dataclass
class Meter:
    """Adds up what each method spends. On a GPU memory is that of the GPU, else what the process holds in RAM."""

    device: torch.device
    _usage: dict[str, _Usage] = field(default_factory=dict)

    @contextmanager
    def running(self, name: str, pixels: int) -> Iterator[None]:
        """While the block sharpens an image of `pixels` by the method `name`."""
        usage = self._usage.setdefault(name, _Usage())
        with _PeakMemory(self.device) as memory:
            started = time.perf_counter()
            yield
            usage.seconds += time.perf_counter() - started
        usage.pixels, usage.images = usage.pixels + pixels, usage.images + 1
        usage.peak_bytes = max(usage.peak_bytes, memory.grown)

    def lines(self, compared_methods: Sequence[Method], watts: float) -> list[CostLine]:
        """One line for bicubic and each network. The cost of another program is not known."""
        measured = [method for method in compared_methods if method.name == "bicubic" or method.parameters]
        return [self._line(method, self._usage[method.name], watts) for method in measured]

    def _line(self, method: Method, usage: _Usage, watts: float) -> CostLine:
        return CostLine(
            method=method.name,
            device=self.device.type,
            parameters=method.parameters,
            weights_mb=method.weights_bytes / MEGA,
            train_seconds=method.train_seconds,
            seconds_per_megapixel=usage.seconds / usage.pixels * MEGA,
            peak_memory_mb=usage.peak_bytes / MEGA,
            train_wh=method.train_seconds * watts / SECONDS_PER_HOUR,
            sharpen_wh_per_image=usage.seconds / usage.images * watts / SECONDS_PER_HOUR,
        )


class _PeakMemory:
    """How far memory grew while a block ran, `grown` bytes."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._ended, self.grown = device, threading.Event(), 0

    def __enter__(self) -> _PeakMemory:
        self._before = self._allocated()
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
            self._sample()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        self.grown = max(self.grown, self._allocated() - self._before)

    def _allocated(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.memory_allocated(self._device))
        return int(psutil.Process().memory_info().rss)
