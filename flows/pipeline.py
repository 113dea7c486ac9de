"""The training pipeline under Prefect: one task per DVC stage, then what a graph of files cannot hold: registration."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from components import params
from components.handover import Layout, Replacing, StepError
from flows import prefect_server
from flows.accelerator import accelerator
from flows.board import Board
from flows.dvc_locks import release_dead_locks
from flows.process_group import Cancelled
from flows.stages import Outcome, Result, Stage, StageFailed, plan, read_graph, run_stage, stale

if TYPE_CHECKING:
    from prefect import Flow, Task
    from prefect.futures import PrefectFuture

REGISTER, EVALUATE = "register", "evaluate"
RETRY_AFTER_S = 10.0
_PROFILE = re.compile(r"^(profile:[ \t]*)(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Session:
    """What the tasks of one run share."""

    root: Path
    stages: tuple[Stage, ...]  # in order
    stale: Mapping[str, tuple[str, ...]]
    board: Board
    stop: threading.Event
    embedded: bool  # the Prefect server is this run's own


def run_pipeline(root: Path, profile: str | None = None, verbose: bool = False, console: Console | None = None) -> int:
    """Brings everything up to date and shows how; 0 when all stages ended well, else 1.

    `profile`, where given, is written into `params.yaml` first. Raises `StepError` or `ParamsError` where the project
    cannot be read.
    """
    console = console or Console()
    if profile is not None:
        console.print(set_profile(root / "params.yaml", profile))
    settings = params.load(root / "params.yaml")
    release_dead_locks(root)
    stages, reasons = tuple(read_graph(root)), stale(root)
    if EVALUATE in plan(list(stages), reasons):
        reasons = _against_the_champion(root)
    prefect_server.configure(verbose)
    with Board(console, (*stages, Stage(REGISTER)), echo=not verbose) as board:
        board.say(f"profile {settings.profile}: {len(stages)} stages, {len(reasons)} out of date; starting Prefect")
        embedded = prefect_server.start()
        session = Session(root, stages, reasons, board, threading.Event(), embedded)
        try:
            results = execute(session, settings.profile)
        except KeyboardInterrupt:
            board.say("Interrupted; the stages that ran were ended. `medsr run` goes on from here.")
            return 1
    board.summary(results)
    return 0 if all(result.outcome in (Outcome.DONE, Outcome.CACHED) for result in results) else 1


def _against_the_champion(root: Path) -> dict[str, tuple[str, ...]]:
    """Puts the model in service where the evaluation that is to come compares with it; gives what is stale then.

    Only before an evaluation that would run anyway: a promotion alone puts nothing out of date.
    """
    from components.adapters import registry, tracking

    tracking.initialise(Layout(root))
    registry.export_champion(Layout(root))
    return stale(root)


def set_profile(path: Path, profile: str) -> str:
    """Writes the `profile:` line of `params.yaml` and no other; gives a sentence that says what it did."""
    if not path.is_file():
        raise StepError(f"{path}: expected the settings, found no file. Run from the project's root.")
    text = path.read_text(encoding="utf-8")
    found = _PROFILE.search(text)
    if found is None:
        raise StepError(f"{path}: expected a line `profile: {profile}`, found none. Add it.")
    if found[2] == profile:
        return f"{path.name}: profile is {profile} already"
    with Replacing(path) as temporary:
        temporary.write_text(_PROFILE.sub(rf"\g<1>{profile}", text, count=1), encoding="utf-8")
    return f"{path.name}: profile changed from {found[2]} to {profile}"


def execute(session: Session, profile: str) -> list[Result]:
    """Runs the flow; how each stage ended, in order. Raises what kept the flow itself from its end."""
    results: list[Result] = []
    state: Any = pipeline_flow(session, results)(profile, return_state=True)
    if not results:
        state.result()
    return results


def pipeline_flow(session: Session, results: list[Result]) -> Flow[[str], Any]:
    """The flow over `session`'s stages; it fills `results` and fails where a stage did."""
    from prefect import flow
    from prefect.futures import wait
    from prefect.states import Failed
    from prefect.task_runners import ThreadPoolTaskRunner

    tasks = stage_tasks(session)
    runner: Any = ThreadPoolTaskRunner(max_workers=len(tasks))  # those that wait must not keep out those they wait for

    @flow(name="pipeline", task_runner=runner, persist_result=False)
    def pipeline(profile: str) -> Any:
        if session.stale:
            _initialise_tracking(session)
        futures: dict[str, PrefectFuture[Any]] = {}
        try:
            for stage in session.stages:
                futures[stage.name] = tasks[stage.name].submit([futures[name] for name in stage.needs])
            futures[REGISTER] = tasks[REGISTER].submit(list(futures.values()))
            wait(list(futures.values()))
        finally:
            session.stop.set()  # where the wait was cut short, the stages' processes end now
        results.extend(_result(name, future) for name, future in futures.items())
        failed = [result.stage for result in results if result.outcome is Outcome.FAILED]
        return Failed(message=f"failed: {', '.join(failed)}") if failed else None

    return pipeline


def stage_tasks(session: Session) -> dict[str, Task[..., Any]]:
    """One Prefect task per stage of the graph, and the one that registers."""
    tasks = {stage.name: _stage_task(session, stage) for stage in session.stages}
    return tasks | {REGISTER: _task(REGISTER, lambda upstream: _register(session), retries=0)}


def _stage_task(session: Session, stage: Stage) -> Task[..., Any]:
    def run(upstream: list[Result]) -> Result:
        return _up_to_date(session, stage, upstream)

    delay = float(stage.meta.get("retry_after_s", RETRY_AFTER_S))
    return _task(stage.name, run, retries=int(stage.meta.get("retries", 0)), retry_delay_seconds=delay)


def _task(name: str, body: Callable[[list[Result]], Result], **options: Any) -> Task[..., Any]:
    from prefect import task
    from prefect.cache_policies import NO_CACHE  # DVC's cache is the one; two would disagree

    def may_pass_later(task: Any, task_run: Any, state: Any) -> bool:
        return isinstance(state.data, StageFailed) and state.data.may_pass_later

    options |= {"retry_condition_fn": may_pass_later, "cache_policy": NO_CACHE, "persist_result": False}
    return task(name=name, **options)(body)


def _up_to_date(session: Session, stage: Stage, upstream: list[Result]) -> Result:
    """Runs `stage` through DVC, unless nothing that it depends on has changed."""
    if session.stop.is_set():
        raise Cancelled(stage.name)
    if stage.name not in session.stale and not any(result.changed for result in upstream):
        session.board.ended(stage.name, Outcome.CACHED)
        return Result(stage.name, Outcome.CACHED)
    alone = bool(stage.meta.get("accelerator"))
    with accelerator(session.stop, session.embedded) if alone else nullcontext():
        return _told(session, stage.name, lambda log: run_stage(session.root, stage, log, session.stop))


def _told(session: Session, name: str, work: Callable[[Callable[[str], None]], Result]) -> Result:
    """Does `work` with its lines going to the terminal and to Prefect."""
    from prefect.logging import get_run_logger

    logger = get_run_logger()

    def log(line: str) -> None:
        session.board.log(name, line)
        logger.info(line)

    session.board.started(name)
    outcome = str(Outcome.FAILED)
    try:
        result = work(log)
        outcome = result.outcome
        return result
    except Cancelled:
        outcome = "stopped"
        raise
    finally:
        session.board.ended(name, outcome)


def _initialise_tracking(session: Session) -> None:
    from components.adapters import tracking

    tracking.initialise(Layout(session.root))


def _register(session: Session) -> Result:
    """Registers the best models, promotes what the policy lets through, and shows the verdict on Prefect's pages."""

    def work(log: Callable[[str], None]) -> Result:
        from components import register
        from flows import artifacts

        decisions = register.run(Layout(session.root), params.load(session.root / "params.yaml"))
        for decision in decisions:
            log(decision.summary)
        artifacts.publish(Layout(session.root), decisions)
        news = any(decision.outcome != "unchanged" for decision in decisions)
        return Result(REGISTER, Outcome.DONE if news else Outcome.CACHED)

    return _told(session, REGISTER, work)


def _result(name: str, future: PrefectFuture[Any]) -> Result:
    state = future.state
    if state.is_completed():
        ended: Result = state.result()
        return ended
    if not state.is_final():  # never begun: what it needs failed
        return Result(name, Outcome.SKIPPED)
    error = state.result(raise_on_failure=False)
    message = str(error) if isinstance(error, StepError) else f"{name} failed: {type(error).__name__}: {error}"
    return Result(name, Outcome.FAILED, message=message)
