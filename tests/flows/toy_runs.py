"""Runs of toy projects: what stands for registration, and what the terminal showed."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from components.handover import Layout
from flows import pipeline
from flows.stages import Outcome

Toy = Callable[[str], Path]


@dataclass
class Decision:
    outcome: str
    summary: str
    model: str = "sr-generator"
    version: str = "1"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands for MLflow and the evidence: the roots that were registered; the second time nothing is new."""
    roots: list[Path] = []

    def run(layout: Layout, settings: object) -> list[Decision]:
        roots.append(layout.root)
        return [Decision("promoted" if len(roots) == 1 else "unchanged", "esrgan 1 looked at")]

    monkeypatch.setattr("components.register.run", run)
    monkeypatch.setattr("flows.artifacts.publish", lambda layout, decisions: None)
    monkeypatch.setattr("components.adapters.tracking.initialise", lambda layout: None)
    return roots


def run(root: Path) -> tuple[int, str]:
    """Exit code and what the terminal showed."""
    stream = io.StringIO()
    code = pipeline.run_pipeline(root, console=Console(file=stream, width=100))
    return code, stream.getvalue()


def table(text: str) -> dict[str, str]:
    """The result of each stage, read from the table at the end."""
    rows = [line.split() for line in text.partition("seconds")[2].splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[1] in set(Outcome)}
