"""Contestants timed in turns, so that what slows the machine for a while slows them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Method = Callable[[int], object]  # takes the number of the call, from 0


@dataclass(frozen=True)
class Times:
    """Seconds of one call, a value a round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def in_milliseconds(self) -> str:
        """The median, and the range that holds every round."""
        return spread([1000 * second for second in self.seconds])


def spread(values: list[float]) -> str:
    """`median (lowest – highest)`, three digits of each."""
    return f"{digits(statistics.median(values))} ({digits(min(values))} – {digits(max(values))})"


def digits(value: float) -> str:
    """`value` with three significant digits, all of them before the point where it is large."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def quotients(slow: Times, fast: Times) -> list[float]:
    """How many times `fast` is faster, round by round."""
    return [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]


def typical(slow: Times, fast: Times) -> str:
    """The median quotient."""
    return digits(statistics.median(quotients(slow, fast)))


def synchronise(device: torch.device) -> None:
    """Waits until the device has done its work. A processor needs no wait."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(contestants: Mapping[str, Method], rounds: int, device: torch.device, calls: int = 1) -> dict[str, Times]:
    """Times of each contestant: one untimed turn each, then `rounds` of A B A B.

    A turn is `calls` calls between two looks at the clock, and counts as their mean.
    """
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            seconds = _turn(contestant, number * calls, calls, device)
            if number:
                measured[name].append(seconds)
    return {name: Times(tuple(seconds)) for name, seconds in measured.items()}


def _turn(contestant: Method, first: int, calls: int, device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    for number in range(first, first + calls):
        contestant(number)
    synchronise(device)
    return (time.perf_counter() - started) / calls
