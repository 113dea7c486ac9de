"""The terminal's view of a pipeline: log lines, the running stages, and how each stage ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from flows.forgiving import ForgivingFile
from flows.stages import Outcome, Result, Stage

BAR = 20  # characters
STYLES = {Outcome.DONE: "green", Outcome.CACHED: "cyan", Outcome.FAILED: "bold red", Outcome.SKIPPED: "yellow"}


class Board:
    """Shows a run of `stages`. Every method may be called from any thread. None fails on a full disk."""

    def __init__(self, console: Console, stages: Sequence[Stage], echo: bool = True) -> None:
        output: Any = ForgivingFile(console.file)
        console.file = output
        self._console, self._echo = console, echo
        self._width = max((len(stage.name) for stage in stages), default=0)
        self._total = len(stages)
        self._ended: set[str] = set()
        self._running: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._live = Live(get_renderable=self._now, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Board:
        if self._console.is_terminal:  # elsewhere a line that redraws itself would fill the log
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def log(self, stage: str, line: str) -> None:
        """One line that `stage` wrote."""
        if self._echo:
            prefixed = Text.assemble((f"{stage:<{self._width}} │ ", "dim"), Text.from_ansi(line))
            self._console.print(prefixed, soft_wrap=True)

    def started(self, stage: str) -> None:
        self._running[stage] = time.monotonic()
        self.log(stage, "started")

    def ended(self, stage: str, outcome: str) -> None:
        self._ended.add(stage)
        if stage in self._running:
            self._seconds[stage] = time.monotonic() - self._running.pop(stage)
        self.log(stage, f"{outcome}, {self._seconds.get(stage, 0.0):.1f} s")

    def summary(self, results: Sequence[Result]) -> None:
        """Prints how each stage ended, then the messages of failed stages."""
        table = Table("stage", "result", Column("seconds", justify="right"), box=None, padding=(0, 2))
        for result in results:
            outcome = Text(result.outcome, STYLES[result.outcome])
            table.add_row(result.stage, outcome, f"{self._seconds.get(result.stage, 0.0):.1f}")
        self._console.print(table)
        for result in results:
            if result.message:
                self._console.print(Text(f"\n{result.message}"), soft_wrap=True)

    def _now(self) -> RenderableType:
        now, running = time.monotonic(), dict(self._running)
        shown = " · ".join(f"{stage} {_clock(now - began)}" for stage, began in running.items())
        progress = Table.grid(Column(width=BAR), Column(no_wrap=True, overflow="ellipsis"), padding=(0, 1))
        done = f"{len(self._ended)} of {self._total}  {shown or 'waiting'}"
        progress.add_row(ProgressBar(self._total, len(self._ended), width=BAR), Text(done, style="bold"))
        return progress


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
