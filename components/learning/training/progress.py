"""Progress of a training: a bar on a terminal, a line at intervals in a log, and the table of its history."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

from components.handover import Replacing

LINE_EVERY_S = 15.0  # seconds between lines of a log
WIDTH = 24


class ConsoleReporter:
    """Prints the losses and scores of one training."""

    def __init__(self, name: str) -> None:
        self._name, self._started, self._printed = name, time.monotonic(), time.monotonic()
        self._first: int | None = None

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        self._first = step if self._first is None else self._first
        terminal, now = sys.stdout.isatty(), time.monotonic()
        if not terminal and now - self._printed < LINE_EVERY_S and step < steps:
            return
        self._printed = now
        rate = (step - self._first) / max(now - self._started, 1e-9)
        left = f"{(steps - step) / rate:4.0f} s left" if rate else ""
        filled = WIDTH * step // steps
        bar = "━" * filled + "─" * (WIDTH - filled)
        values = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        print(f"{self._name:<10} {bar} {step}/{steps}  {values}  {left}", end="\r" if terminal else "\n", flush=True)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        values = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        print(f"{self._name:<10} step {step}: {values}", flush=True)


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Writes one row per report, one column per measure; empty where the report lacks the measure."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    with Replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
