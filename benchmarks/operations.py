"""Lower bounds of a network's cost, counted, and the machine's ceilings, measured: operations and bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.results import Section
from benchmarks.timing import digits, synchronise
from components.learning.device import half_is_fast

REPEATS = 3
TRAINING = 3  # a backward pass is two products as large as the forward one: by the weights and by the inputs
MOVED_BY_ADAM = 9 * 4  # bytes a weight: itself, two moments and the average read and written, the gradient read


@dataclass(frozen=True)
class Work:
    """The work of all convolutions of one pass. A multiply-add is two operations."""

    multiply_adds: int
    elements: int  # inputs, weights and outputs, each once a convolution
    weights: int

    @property
    def operations(self) -> int:
        return 2 * self.multiply_adds


@dataclass(frozen=True)
class Ceiling:
    """The best speeds measured: operations per second of matrix products, bytes per second of a copy."""

    full: float  # float32, as the device multiplies it in convolutions by default
    fast: float  # the precision that ours runs in
    half: bool  # whether that is bfloat16
    bandwidth: float


class _Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts convolutions as they are called, whichever way a network calls them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.multiply_adds = self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            image, weight = args[:2]
            self.multiply_adds += output.numel() * weight[0].numel()
            self.elements += image.numel() + weight.numel() + output.numel()
        return output


def forward_work(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Work:
    """The work of the network that `make` builds, on an input of `shape`. Counts without computing."""
    with torch.device("meta"), torch.no_grad(), _Convolutions() as counted:
        network = make()
        network(torch.empty(shape))
    return Work(counted.multiply_adds, counted.elements, sum(weight.numel() for weight in network.parameters()))


def step_bytes(work: Work, bytes_each: int) -> int:
    """Bytes that a training step moves if each convolution reads its inputs and writes its output once."""
    return TRAINING * work.elements * bytes_each + MOVED_BY_ADAM * work.weights


def measure_ceiling(sides: Sequence[int], copied_mib: int, device: torch.device) -> tuple[Ceiling, Section]:
    """The best of a few square products of each size, in each precision, and of a few copies."""
    half = half_is_fast(device)
    products = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if half else {})
    best = {name: [_product(side, dtype, device) for side in sides] for name, dtype in products.items()}
    if device.type == "cuda":
        best["float32 as TF32"] = _tf32(sides, device)
    bandwidth = _copy(copied_mib, device)
    full = max(best["float32 as TF32"] if device.type == "cuda" else best["float32"])
    ceiling = Ceiling(full, max(best["bfloat16"] if half else best["float32"]), half, bandwidth)
    rows = [(name, *(digits(speed / 1e9) for speed in speeds), "") for name, speeds in best.items()]
    rows.append(("copy, read and write", *([""] * len(sides)), digits(bandwidth / 1e9)))
    columns = ("", *(f"{side}², GFLOP/s" for side in sides), "GB/s")
    method = (
        f"`torch.mm` of square matrices and a copy of {copied_mib} MiB, the best of {REPEATS} after one to warm up."
    )
    return ceiling, Section("The machine's ceiling", method, columns, rows)


def _product(side: int, dtype: torch.dtype, device: torch.device) -> float:
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / _best(lambda: torch.mm(a, b), device)


def _tf32(sides: Sequence[int], device: torch.device) -> list[float]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return [_product(side, torch.float32, device) for side in sides]
    finally:
        torch.set_float32_matmul_precision(before)


def _copy(mebibytes: int, device: torch.device) -> float:
    source = torch.ones(mebibytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * source.numel() / _best(lambda: target.copy_(source), device)


def _best(work: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(REPEATS + 1):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
