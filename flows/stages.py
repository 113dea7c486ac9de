"""Reads DVC's graph, and runs single stages of it."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from components.handover import StepError
from components.handover.names import GRAPH
from flows import process_group
from flows.dvc_locks import release_dead_locks

LAST_LINES = 15
LOOK_S = 2.0  # between looks whether another run still holds what is waited for
TIMEOUT_HOURS = 24.0  # a stage may take, where its `meta.timeout_hours` says nothing else
TRY_AGAIN = 75  # EX_TEMPFAIL: a stage's way to say that the outside failed, not the stage
_KILLED = {-9, -15, 137, 143}  # by the kernel (out of memory) or a machine going down
_LOCKED = re.compile(r"Unable to acquire lock")  # for longer than DVC waits where it cannot be told to wait
_BUSY = re.compile(r"(?:.*': )?('.+') is busy, it is being blocked by:\n((?:\s+\(PID \d+\): .*\n?)+)")
_DVC_ENDS = re.compile(
    r"(Generating|Updating) lock file '|ERROR: failed to reproduce '|Use `dvc push`"
    r"|To (track the changes with git|enable auto staging), run:|\s+(git add|dvc config) "
)
_EXIT_CODE = re.compile(r"ERROR: failed to reproduce .* exited with (-?\d+)$")


class Outcome(StrEnum):
    DONE = "done"
    CACHED = "cached"  # nothing it depends on changed, or DVC had the result already
    FAILED = "failed"
    SKIPPED = "skipped"  # something it needs failed
    WOULD_RUN = "would run"  # of a dry run


@dataclass(frozen=True)
class Stage:
    """One stage of `dvc.yaml`, such as `train@srcnn`."""

    name: str
    needs: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class Result:
    """How a stage ended."""

    stage: str
    outcome: Outcome
    changed: bool = False  # its outputs may differ from before, so what follows must be looked at
    message: str = ""


class Busy(StepError):
    """Another run is at work on the graph."""


class StageFailed(StepError):
    """A stage's command failed; the message ends with the stage's own last lines."""

    def __init__(self, stage: str, reason: str, lines: list[str], may_pass_later: bool) -> None:
        shown = "".join(f"\n  {line}" for line in lines)
        super().__init__(f"{stage} failed, {reason}{':' if lines else ''}{shown}")
        self.may_pass_later = may_pass_later


def read_graph(root: Path) -> list[Stage]:
    """Every stage, each after all that it needs. Raises `StepError` where DVC cannot read the graph."""
    with _repository(root) as repository:
        graph = repository.index.graph
        stages = {
            _name(stage): Stage(
                name=_name(stage),
                needs=tuple(sorted(_name(needed) for needed in graph.successors(stage) if needed.cmd)),
                meta=dict(stage.meta or {}),
                command=stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd),
            )
            for stage in repository.index.stages
            if stage.cmd
        }
    order = TopologicalSorter({stage.name: stage.needs for stage in stages.values()}).static_order()
    return [stages[name] for name in order]


def stale(root: Path) -> dict[str, tuple[str, ...]]:
    """Stages whose own command, inputs or outputs differ from the last run, with the reasons.

    What merely follows such a stage is not named: its inputs are still the old ones; nor is what DVC calls changed each
    time. Raises `Busy` while another run is at work on a stage.
    """
    with _repository(root) as repository:
        stages = [stage for stage in repository.index.stages if stage.cmd and not stage.always_changed]
        names = {stage.addressing: _name(stage) for stage in stages}
        status = repository.status()
    return {names[key]: tuple(_reasons(entries)) for key, entries in status.items() if key in names}


def stale_in_turn(root: Path, say: Callable[[str], None]) -> dict[str, tuple[str, ...]]:
    """What `stale` gives, after waiting for other runs with a message."""
    waits = False
    while True:
        try:
            return stale(root)
        except Busy as error:
            if not waits:
                say(f"{error}\nThis run waits for it.")
            waits = True
        while release_dead_locks(root):
            time.sleep(LOOK_S)


def plan(stages: list[Stage], reasons: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The stages that a run would look at, in order, with the reasons: stale ones and all that follow them."""
    planned: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        follows = tuple(f"follows {name}" for name in stage.needs if name in planned)
        if causes := (*reasons.get(stage.name, ()), *follows):
            planned[stage.name] = causes
    return planned


def run_stage(
    root: Path, stage: Stage, log: Callable[[str], None], stop: threading.Event, force: bool = False
) -> Result:
    """Brings one stage up to date through DVC, with the lock and cache of a `dvc repro` by hand.

    `force` runs it also where nothing changed. Waits, with a message, while another run holds an input or output of the
    stage. Raises `StageFailed`, or `process_group.Cancelled` once `stop` is set. No process is left behind.
    """
    reported = ""
    while (transcript := _attempt(root, stage, log, stop, force)) and transcript.held:
        if transcript.held != reported:
            reported = transcript.held
            log(f"waits for another run, which holds {reported}")
        while transcript.holders & release_dead_locks(root):
            if stop.wait(LOOK_S):
                raise process_group.Cancelled(stage.name)
    outcome = Outcome.DONE if transcript.ran else Outcome.CACHED
    return Result(stage.name, outcome, changed=not transcript.unchanged)


def _attempt(root: Path, stage: Stage, log: Callable[[str], None], stop: threading.Event, force: bool) -> _Transcript:
    """Runs a stage once. Gives its transcript where it ended well or another run keeps it from beginning."""
    transcript = _Transcript(stage, log)
    # `--wait-for-lock` belongs before `repro`: without it a finished stage is lost when DVC hashes elsewhere for 3 s
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage.name]
    command += ["--force"] if force else []
    hours = float(stage.meta.get("timeout_hours", TIMEOUT_HOURS))
    try:
        code = process_group.run(command, root, _environment(), transcript.take, stop, timeout_s=3600 * hours)
    except process_group.TookTooLong as error:
        raise transcript.too_long(hours) from error
    if code and not transcript.held:
        raise transcript.failure(code)
    return transcript


class _Transcript:
    """Separates the stage's own lines from DVC's around them."""

    def __init__(self, stage: Stage, log: Callable[[str], None]) -> None:
        self._stage, self._log = stage, log
        self._framing = {f"> {line}" for line in stage.command.splitlines()} | {f"Running stage '{stage.name}':", ""}
        self._stage_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._dvc_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.ran = self.unchanged = False

    def take(self, line: str) -> None:
        self.ran |= line == f"Running stage '{self._stage.name}':"
        self.unchanged |= line == f"Stage '{self._stage.name}' didn't change, skipping"
        if self.ran and _DVC_ENDS.match(line) is None:
            if line not in self._framing:
                self._stage_lines.append(line)
                self._log(line)
        elif line not in self._framing:
            self._dvc_lines.append(line)

    @property
    def held(self) -> str:
        """The file that another run holds, and its process; empty where DVC names none or the stage has begun."""
        match = None if self.ran else _BUSY.search("\n".join(self._dvc_lines))
        return f"{match[1]}: {' '.join(match[2].split())}" if match else ""

    @property
    def holders(self) -> set[int]:
        """The numbers of the processes that hold it."""
        return {int(number) for number in re.findall(r"\(PID (\d+)\)", self.held)}

    def failure(self, code: int) -> StageFailed:
        output = "\n".join(self._dvc_lines)
        match = _EXIT_CODE.search(output)
        code = int(match[1]) if match else code
        may_pass_later = code in _KILLED or code == TRY_AGAIN or _LOCKED.search(output) is not None
        return StageFailed(
            self._stage.name, f"exit code {code}", list(self._stage_lines or self._dvc_lines), may_pass_later
        )

    def too_long(self, hours: float) -> StageFailed:
        reason = f"ended after {hours:g} h (meta.timeout_hours in dvc.yaml says how long it may take)"
        return StageFailed(self._stage.name, reason, list(self._stage_lines or self._dvc_lines), may_pass_later=False)


def _environment() -> dict[str, str]:
    """This process's environment, where `python` in a stage's command is the Python that runs now."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return {**os.environ, "PATH": path, "SHELL": "/bin/sh", "PYTHONUNBUFFERED": "1"}


@contextmanager
def _repository(root: Path) -> Iterator[Any]:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        # waiting is what every other DVC call of ours does: a stage may be hashing just now
        with Repo(str(root), _wait_for_lock=True) as repository:
            yield repository
    except DvcException as error:
        from dvc.lock import LockError

        raise (Busy if isinstance(error, LockError) else StepError)(_explained(root, error)) from error


def _explained(root: Path, error: Exception) -> str:
    from dvc.exceptions import NotDvcRepoError
    from dvc.lock import LockError
    from dvc.scm import SCMError

    if isinstance(error, SCMError):
        return (
            f"{root.resolve()}: expected a git checkout, {error}. Clone the project with git, or tell DVC to do "
            "without: `dvc config --local core.no_scm true`."
        )
    if isinstance(error, NotDvcRepoError):
        return f"{root.resolve()}: expected the project's root with its .dvc folder, found none. Change to it."
    if isinstance(error, LockError):
        return f"{root.resolve()}: another run is at work here. Wait until it ends.\n{error}"
    causes = f": {error.__cause__}" if error.__cause__ else ""  # where in the file, for one
    return f"DVC cannot read the graph: {error}{causes}"


def _name(stage: Any) -> str:
    """The name that `dvc repro` takes in the root. DVC's own `addressing` depends on the working folder."""
    return str(stage.name if stage.path_in_repo == GRAPH else f"{stage.path_in_repo}:{stage.name}")


def _reasons(causes: list[Any]) -> Iterator[str]:
    for cause in causes:
        if isinstance(cause, str):
            yield cause
            continue
        for changes in cause.values():
            yield from (f"{path} {_state(state)}" for path, state in changes.items())


def _state(state: Any) -> str:
    if isinstance(state, Mapping):  # of single settings in params.yaml
        return ", ".join(f"{key} {change}" for key, change in state.items())
    return str(state)
