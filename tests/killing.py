"""Kills what a run has started, as an out-of-memory killer or a person in a hurry would."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class StageKiller:
    """Ends each stage of the project in `root` by `kill -9`: as it begins, and again when it has begun to write.

    A training is ended once, a second later: its checkpoints, half written, have tests of their own.
    """

    def __init__(self, root: Path, outputs: dict[str, list[Path]]) -> None:
        """`outputs` by stage, as its command names it: `train rrdb`."""
        self._root, self._outputs = root, outputs
        self._begun: dict[int, float] = {}
        self.killed: set[str] = set()
        self.killed_writing: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            for number, stage in stage_processes(self._root).items():
                age = time.monotonic() - self._begun.setdefault(number, time.monotonic())
                if stage not in self.killed:
                    if age >= (1.0 if stage.startswith("train") else 0.0):  # `split` takes no longer than a moment
                        self._kill(number, stage, self.killed)
                elif not stage.startswith("train") and any(path.exists() for path in self._outputs[stage]):
                    self._kill(number, stage, self.killed_writing)

    def _kill(self, number: int, stage: str, after: set[str]) -> None:
        if stage not in after:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
                after.add(stage)


def stage_processes(root: Path) -> dict[int, str]:
    """The processes that are stages of the project in `root`, and the stages."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_text().split("\0")
            if words[1:2] == ["-m"] and words[2].startswith("components.") and (folder / "cwd").readlink() == root:
                found[int(folder.name)] = " ".join(words[2:]).removeprefix("components.").strip()
    return found
