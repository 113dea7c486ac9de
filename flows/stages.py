"""DVC's graph, read where it stands, and one of its stages run."""

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


@dataclass(frozen=True)
class Stage:
    """One stage of `dvc.yaml`; `train@srcnn` for one of many."""

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
    """Another run is at work on what was to be read."""


class StageFailed(StepError):
    """A stage's command failed; the message ends with the stage's own last lines."""

    def __init__(self, stage: str, why: str, lines: list[str], may_pass_later: bool) -> None:
        shown = "".join(f"\n  {line}" for line in lines)
        super().__init__(f"{stage} failed, {why}{':' if lines else ''}{shown}")
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
    """What `stale` gives, once no other run is at work on a stage; says that it waits."""
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
    """What a run would look at, and why: the stale stages and all that follow them, in order."""
    planned: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        follows = tuple(f"follows {name}" for name in stage.needs if name in planned)
        if why := (*reasons.get(stage.name, ()), *follows):
            planned[stage.name] = why
    return planned


def run_stage(root: Path, stage: Stage, log: Callable[[str], None], stop: threading.Event) -> Result:
    """Brings one stage up to date through DVC, as `dvc repro` by hand would, sharing lock and cache with it.

    Waits while another run holds what the stage needs or makes, and says so: that is a turn, no failure. Raises
    `StageFailed`, or `process_group.Cancelled` once `stop` is set; no process is left behind.
    """
    said = ""
    while (transcript := _attempt(root, stage, log, stop)) and transcript.held:
        if transcript.held != said:
            said = transcript.held
            log(f"waits for another run, which holds {said}")
        while transcript.holders & release_dead_locks(root):
            if stop.wait(LOOK_S):
                raise process_group.Cancelled(stage.name)
    outcome = Outcome.DONE if transcript.ran else Outcome.CACHED
    return Result(stage.name, outcome, changed=not transcript.unchanged)


def _attempt(root: Path, stage: Stage, log: Callable[[str], None], stop: threading.Event) -> _Transcript:
    """What DVC and the stage said of one that ended well, or that another run keeps from beginning."""
    transcript = _Transcript(stage, log)
    # `--wait-for-lock` belongs before `repro`: without it a finished stage is lost when DVC hashes elsewhere for 3 s
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage.name]
    hours = float(stage.meta.get("timeout_hours", TIMEOUT_HOURS))
    try:
        code = process_group.run(command, root, _environment(), transcript.take, stop, timeout_s=3600 * hours)
    except process_group.TookTooLong as error:
        raise transcript.too_long(hours) from error
    if code and not transcript.held:
        raise transcript.failure(code)
    return transcript


class _Transcript:
    """Tells the stage's own lines from DVC's around them."""

    def __init__(self, stage: Stage, log: Callable[[str], None]) -> None:
        self._stage, self._log = stage, log
        self._framing = {f"> {line}" for line in stage.command.splitlines()} | {f"Running stage '{stage.name}':", ""}
        self._own: deque[str] = deque(maxlen=LAST_LINES)
        self._dvc: deque[str] = deque(maxlen=LAST_LINES)
        self.ran = self.unchanged = False

    def take(self, line: str) -> None:
        self.ran |= line == f"Running stage '{self._stage.name}':"
        self.unchanged |= line == f"Stage '{self._stage.name}' didn't change, skipping"
        if self.ran and _DVC_ENDS.match(line) is None:
            if line not in self._framing:
                self._own.append(line)
                self._log(line)
        elif line not in self._framing:
            self._dvc.append(line)

    @property
    def held(self) -> str:
        """What another run holds, and who that is; empty where DVC names nobody, or the stage has begun."""
        found = None if self.ran else _BUSY.search("\n".join(self._dvc))
        return f"{found[1]}: {' '.join(found[2].split())}" if found else ""

    @property
    def holders(self) -> set[int]:
        """The numbers of the processes that do."""
        return {int(number) for number in re.findall(r"\(PID (\d+)\)", self.held)}

    def failure(self, code: int) -> StageFailed:
        said = "\n".join(self._dvc)
        found = _EXIT_CODE.search(said)
        code = int(found[1]) if found else code
        may_pass_later = code in _KILLED or code == TRY_AGAIN or _LOCKED.search(said) is not None
        return StageFailed(self._stage.name, f"exit code {code}", list(self._own or self._dvc), may_pass_later)

    def too_long(self, hours: float) -> StageFailed:
        why = f"ended after {hours:g} h (meta.timeout_hours in dvc.yaml says how long it may take)"
        return StageFailed(self._stage.name, why, list(self._own or self._dvc), may_pass_later=False)


def _environment() -> dict[str, str]:
    """This process's, with `python` in a stage's command being the one that runs now."""
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
    """As `dvc repro` takes it in the root; DVC's own `addressing` depends on the folder one is in."""
    return str(stage.name if stage.path_in_repo == GRAPH else f"{stage.path_in_repo}:{stage.name}")


def _reasons(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
            continue
        for changes in entry.values():
            yield from (f"{path} {_state(state)}" for path, state in changes.items())


def _state(state: Any) -> str:
    if isinstance(state, Mapping):  # of single settings in params.yaml
        return ", ".join(f"{key} {change}" for key, change in state.items())
    return str(state)
