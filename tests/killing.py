"""Kills what a run has started, as an out-of-memory killer or a person in a hurry would."""

from __future__ import annotations

import os
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from components.handover import Layout
from components.learning.training.checkpoint import NAME

MIDWAY = ("train rrdb", "train esrgan", "train classifier", "train dcgan")  # one of each kind that keeps checkpoints
ONCE = re.compile(r"train \w+|train_classical (?!classical_svm)\w+")  # each takes seconds to get to where it was
LOOK_S = 0.03  # each look costs a millisecond of processor time


class StageKiller:
    """Ends each stage of the project in `root` by `kill -9`: as it begins, and again when it has begun to write.

    Trainings are ended once: of each kind of network one when it has a checkpoint to go on from, the others as they
    begin. One classical training stands for the four, and is ended twice.
    """

    def __init__(self, root: Path, outputs: dict[str, list[Path]]) -> None:
        """`outputs` by stage, as its command names it: `train rrdb`."""
        self._root, self._outputs = root, outputs
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
        while not self._stop.wait(LOOK_S):
            for number, stage in stage_processes(self._root).items():
                if stage not in self.killed:
                    if stage not in MIDWAY or self.checkpoint(stage).is_file():
                        self._kill(number, stage, self.killed)
                elif not ONCE.fullmatch(stage) and any(path.exists() for path in self._outputs[stage]):
                    self._kill(number, stage, self.killed_writing)

    def checkpoint(self, stage: str) -> Path:
        """Of the training `stage`."""
        return Layout(self._root).checkpoints(stage.split()[1]) / NAME

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
