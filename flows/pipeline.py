"""The training pipeline under Prefect: one task per DVC stage, then registration, which no graph of files can hold."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from components import params
from components.handover import Layout, Replacing, StepError
from components.handover.names import PARAMS
from components.sources import listing
from flows import prefect_server
from flows.board import Board
from flows.dvc_locks import release_dead_locks
from flows.stages import Outcome, Result, Stage, plan, read_graph, stale_in_turn
from flows.tasks import REGISTER, Session, prefect_answers, say_unrecorded, stage_tasks

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.futures import PrefectFuture

EVALUATE = "evaluate"
_PROFILE = re.compile(r"^(profile:[ \t]*)(\w+)", re.MULTILINE)


def run_pipeline(root: Path, profile: str | None = None, verbose: bool = False, console: Console | None = None) -> int:
    """Runs `bring_up_to_date` and gives an exit code: 0 when all stages ended well, else 1."""
    console = console or Console()
    results = bring_up_to_date(root, profile, verbose, console)
    if not results or any(result.outcome not in (Outcome.DONE, Outcome.CACHED) for result in results):
        return 1
    if (page := Layout(root).report).is_file():
        console.print(f"\nOpen {page.resolve()}; `medsr ui` shows runs and registry.", soft_wrap=True)
    return 0


def bring_up_to_date(
    root: Path, profile: str | None = None, verbose: bool = False, console: Console | None = None
) -> list[Result]:
    """Runs the stages that are out of date, and gives how each ended; empty after an interruption.

    `profile`, where given, is written into `params.yaml` first. Raises `StepError` or `ParamsError` where the project
    cannot be read.
    """
    console = console or Console()
    if profile is not None:
        console.print(set_profile(root / PARAMS, profile))
    settings = params.load(root / PARAMS)
    for change in listing.look(Layout(root), settings).changes:
        console.print(str(change))
    release_dead_locks(root)
    stages, reasons = tuple(read_graph(root)), _stale(root, console)
    if EVALUATE in plan(list(stages), reasons):
        reasons = _export_champion(root, console)
    prefect_server.configure(verbose)
    with Board(console, (*stages, Stage(REGISTER)), echo=not verbose) as board:
        board.say(f"profile {settings.profile}: {len(stages)} stages, {len(reasons)} out of date; starting Prefect")
        embedded = prefect_server.start()
        session = Session(root, stages, reasons, board, threading.Event(), embedded)
        try:
            results = execute(session, settings.profile)
        except KeyboardInterrupt:
            board.say("Interrupted; the stages that ran were ended. `medsr run` goes on from here.")
            return []
    board.summary(results)
    return results


def _export_champion(root: Path, console: Console) -> dict[str, tuple[str, ...]]:
    """Exports the champion for the coming evaluation to compare with, and gives the stale stages after that.

    It is called only before an evaluation that runs anyway, because a promotion alone makes nothing stale.
    """
    from components.adapters import registry, tracking

    try:
        tracking.initialise(Layout(root))
        with tracking.reached(Layout(root)):
            registry.export_champion(Layout(root))
    except tracking.Unreachable as error:
        console.print(f"{error} Until then models are compared with the champion of the last run.", soft_wrap=True)
    return _stale(root, console)


def _stale(root: Path, console: Console) -> dict[str, tuple[str, ...]]:
    return stale_in_turn(root, lambda line: console.print(line, markup=False, soft_wrap=True))


def set_profile(path: Path, profile: str) -> str:
    """Changes only the `profile:` line of `params.yaml`, and gives a sentence about it."""
    if not path.is_file():
        raise StepError(f"{path}: expected the settings, found no file. Run from the project's root.")
    text = path.read_text(encoding="utf-8")
    match = _PROFILE.search(text)
    if match is None:
        raise StepError(f"{path}: expected a line `profile: {profile}`, found none. Add it.")
    if match[2] == profile:
        return f"{path.name}: profile is {profile} already"
    with Replacing(path) as temporary:
        temporary.write_text(_PROFILE.sub(rf"\g<1>{profile}", text, count=1), encoding="utf-8")
    return f"{path.name}: profile changed from {match[2]} to {profile}"


def execute(session: Session, profile: str) -> list[Result]:
    """Runs the flow and gives how each stage ended, in order. Raises the error that broke the flow itself.

    Stages end also where Prefect's server is away or takes no records: task states are decided here and sent later.
    """
    import httpx
    from prefect.exceptions import Abort

    results: list[Result] = []
    try:
        state: Any = pipeline_flow(session, results)(profile, return_state=True)
    except (Abort, httpx.HTTPError) as error:
        prefect_server.forget()
        reason = str(error).partition("\n")[0]
        if not results:
            raise StepError(
                f"expected Prefect's server to take what it is told, found: {reason}. Nothing is lost: run it again."
            ) from error
        say_unrecorded(session, reason)
        return results
    if not results:
        state.result()
    return results


def pipeline_flow(session: Session, results: list[Result]) -> Flow[[str], Any]:
    """The flow over the stages of `session`. It fills `results`, and fails where a stage did."""
    from prefect import flow
    from prefect.exceptions import Abort
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
        except BaseException:
            session.stop.set()  # the wait was cut short: the stages' processes end now
            raise
        results.extend(_result(name, future) for name, future in futures.items())
        if not prefect_answers(session):
            raise Abort("the end of this run is not recorded")  # any other way out asks the server again, for minutes
        failed = [result.stage for result in results if result.outcome is Outcome.FAILED]
        return Failed(message=f"failed: {', '.join(failed)}") if failed else None

    return pipeline


def _initialise_tracking(session: Session) -> None:
    from components.adapters import tracking

    try:
        tracking.initialise(Layout(session.root))
    except tracking.Unreachable as error:
        session.board.say(f"{error} Until then trainings go on untracked.")


def _result(name: str, future: PrefectFuture[Any]) -> Result:
    future.wait()  # it is done; without this its state would be asked of the server
    state = future.state
    if state.is_completed():
        result: Result = state.result()
        return result
    if not state.is_final():  # never begun: what it needs failed
        return Result(name, Outcome.SKIPPED)
    error = state.result(raise_on_failure=False)
    message = str(error) if isinstance(error, StepError) else f"{name} failed: {type(error).__name__}: {error}"
    return Result(name, Outcome.FAILED, message=message)
