"""How a training shows itself: a bar on a terminal, a line now and then in a log; and the table kept afterwards."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

from components.handover import Replacing

LINE_EVERY_S = 15.0  # seconds between lines where there is no terminal to redraw
WIDTH = 24


class ConsoleReporter:
    """Tells the terminal of one training's losses and scores."""

    def __init__(self, name: str) -> None:
        self._name, self._started, self._spoken = name, time.monotonic(), time.monotonic()
        self._first: int | None = None

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        self._first = step if self._first is None else self._first
        terminal, now = sys.stdout.isatty(), time.monotonic()
        if not terminal and now - self._spoken < LINE_EVERY_S and step < steps:
            return
        self._spoken = now
        rate = (step - self._first) / max(now - self._started, 1e-9)
        left = f"{(steps - step) / rate:4.0f} s left" if rate else ""
        filled = WIDTH * step // steps
        bar = "━" * filled + "─" * (WIDTH - filled)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        print(f"{self._name:<10} {bar} {step}/{steps}  {shown}  {left}", end="\r" if terminal else "\n", flush=True)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        print(f"{self._name:<10} step {step}: {shown}", flush=True)


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """One row a report, one column a measure; empty where it was not taken."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    with Replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
