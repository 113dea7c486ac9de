"""The training pipeline under Prefect: one task per DVC stage, then registration, which no graph of files can hold."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from components import params
from components.handover import Layout, Replacing, StepError
from components.handover.names import PARAMS
from components.sources import listing
from flows import planning, prefect_server
from flows.board import Board
from flows.dvc_locks import release_dead_locks
from flows.project_lock import hold, hold_in_turn
from flows.stages import Outcome, Result, Stage, plan, read_graph, stale_in_turn
from flows.tasks import REGISTER, Session, prefect_answers, say_unrecorded, stage_tasks

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.futures import PrefectFuture

FLOW, EVALUATE = "pipeline", "evaluate"
RUN, DATA_CHECK = "medsr run", "data check"  # what others hear of whoever holds the project
_PROFILE = re.compile(r"^(profile:[ \t]*)(\w+)", re.MULTILINE)
_SESSION: ContextVar[Session | None] = ContextVar("session", default=None)  # of `medsr run` alone


def __getattr__(name: str) -> Any:
    """The flow `pipeline`, made when somebody asks for it: importing this module does not import Prefect."""
    if name != FLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_flow()


def make_flow() -> Flow[..., Any]:
    """The flow `pipeline`. A deployment names it; `medsr run` runs it in its own process."""
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    runner: Any = ThreadPoolTaskRunner()  # without a limit: those that wait must not keep out those they wait for
    return flow(name=FLOW, task_runner=runner, persist_result=False)(_pipeline)


def _pipeline(profile: Literal["quick", "full"] | None = None, force: bool = False, dry_run: bool = False) -> Any:
    """Brings everything up to date, registers and promotes. Gives how each stage ended.

    `profile` is written into params.yaml first. `force` runs every stage, also where nothing changed. `dry_run` only
    says what would run, and why.
    """
    if session := _SESSION.get():
        return concluded(run_stages(session))
    prefect_server.configure()
    if dry_run:
        return _say_what_would_run(profile)
    with prepared(Path(), Console(), profile, force=force) as session:
        return concluded(run_stages(session))


def _say_what_would_run(profile: str | None) -> list[Result]:
    from prefect import get_run_logger

    written = params.load_here().profile
    if profile not in (None, written):
        raise StepError(
            f"{PARAMS}: expected profile {profile} for a dry run with it, found {written}. Change that line first: a "
            "dry run writes nothing."
        )
    planned = planning.planned(Path())
    for line in planned.lines():
        get_run_logger().info(line)
    return [Result(name, Outcome.WOULD_RUN, message="; ".join(why)) for name, why in planned.stages.items()]


def run_pipeline(
    root: Path,
    profile: str | None = None,
    verbose: bool = False,
    console: Console | None = None,
    force: bool = False,
) -> int:
    """Runs the stages that are out of date, and gives an exit code: 0 when all ended well, else 1.

    `profile`, where given, is written into `params.yaml` first; `force` runs every stage. Raises `StepError` or
    `ParamsError` where the project cannot be read.
    """
    console = console or Console()
    with prepared(root, console, profile, verbose, force) as session:
        try:
            results = execute(session)
        except KeyboardInterrupt:
            session.board.say("Interrupted; the stages that ran were ended. `medsr run` goes on from here.")
            return 1
    session.board.summary(results)
    if any(result.outcome not in (Outcome.DONE, Outcome.CACHED) for result in results):
        return 1
    if (page := Layout(root).report).is_file():
        console.print(f"\nOpen {page.resolve()}; `medsr ui` shows runs and registry.", soft_wrap=True)
    return 0


@contextmanager
def prepared(
    root: Path,
    console: Console,
    profile: str | None = None,
    verbose: bool = False,
    force: bool = False,
    only: Collection[str] = (),
    wait: bool = True,
) -> Iterator[Session]:
    """All that a run needs to begin: the project for itself, its graph, what is out of date, and Prefect's server.

    `only` names the last stages of a part of the graph, which registers nothing. Another run is waited for, with a
    message, or `Held` is raised where `wait` is false. Raises `StepError` or `ParamsError` where the project cannot be
    read.
    """

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    params.load(root / PARAMS)  # before a lock is made where no project is
    lock, what = Layout(root).run_lock, DATA_CHECK if only else RUN
    with hold_in_turn(lock, what, say) if wait else hold(lock, what):
        if profile is not None:
            say(set_profile(root / PARAMS, profile))
        settings = params.load(root / PARAMS)
        for change in listing.look(Layout(root), settings).changes:
            say(str(change))
        release_dead_locks(root)
        stages, reasons = planning.part(read_graph(root), only), stale_in_turn(root, say)
        names = {stage.name for stage in stages}
        if EVALUATE in (names if force else plan(stages, reasons)):
            reasons = _export_champion(root, say)
        count = len(stages) if force else len(reasons.keys() & names)
        prefect_server.configure(verbose)
        with Board(console, (*stages, *(() if only else (Stage(REGISTER),))), echo=not verbose) as board:
            board.say(f"profile {settings.profile}: {len(stages)} stages, {count} out of date; starting Prefect")
            embedded = prefect_server.start()
            yield Session(
                root,
                tuple(stages),
                reasons,
                board,
                threading.Event(),
                embedded,
                profile=settings.profile,
                force=force,
                registers=not only,
            )


def _export_champion(root: Path, say: Callable[[str], None]) -> dict[str, tuple[str, ...]]:
    """Exports the champion for the coming evaluation to compare with, and gives the stale stages after that.

    It is called only before an evaluation that runs anyway, because a promotion alone makes nothing stale.
    """
    from components.adapters import registry, tracking

    try:
        tracking.initialise(Layout(root))
        with tracking.reached(Layout(root)):
            registry.export_champion(Layout(root))
    except tracking.Unreachable as error:
        say(f"{error} Until then models are compared with the champion of the last run.")
    return stale_in_turn(root, say)


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


def execute(session: Session) -> list[Result]:
    """Runs the flow and gives how each stage ended, in order. Raises the error that broke the flow itself.

    Stages end also where Prefect's server is away or takes no records: task states are decided here and sent later.
    """
    import httpx
    from prefect.exceptions import Abort

    begun = _SESSION.set(session)
    try:
        state: Any = make_flow()(session.profile, session.force, return_state=True)
    except (Abort, httpx.HTTPError) as error:
        prefect_server.forget()
        reason = str(error).partition("\n")[0]
        if not session.results:
            raise StepError(
                f"expected Prefect's server to take what it is told, found: {reason}. Nothing is lost: run it again."
            ) from error
        say_unrecorded(session, reason)
    else:
        if not session.results:
            state.result()
    finally:
        _SESSION.reset(begun)
    return session.results


def run_stages(session: Session) -> list[Result]:
    """Runs the stages of `session` as tasks of the flow that is under way, and gives how each ended.

    Raises Prefect's `Abort` where its server does not come back, after all stages have ended.
    """
    from prefect.exceptions import Abort
    from prefect.futures import wait

    if session.stale:
        _initialise_tracking(session)
    tasks = stage_tasks(session)
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        for stage in session.stages:
            futures[stage.name] = tasks[stage.name].submit([futures[name] for name in stage.needs])
        if session.registers:
            futures[REGISTER] = tasks[REGISTER].submit(list(futures.values()))
        wait(list(futures.values()))
    except BaseException:
        session.stop.set()  # the wait was cut short: the stages' processes end now
        raise
    session.results.extend(_result(name, future) for name, future in futures.items())
    if not prefect_answers(session):
        raise Abort("the end of this run is not recorded")  # any other way out asks the server again, for minutes
    return session.results


def concluded(results: list[Result]) -> Any:
    """What a flow gives that ends with `results`: themselves, or a failed state whose message is the stages' own."""
    from prefect.states import Failed

    failures = [result.message for result in results if result.outcome is Outcome.FAILED]
    return Failed(message="\n".join(failures)) if failures else results


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
