"""The Prefect tasks of a run: one a stage of the graph, and the one that registers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import params
from components.handover import Layout
from components.handover.names import PARAMS
from flows import prefect_server
from flows.accelerator import accelerator
from flows.board import Board
from flows.process_group import Cancelled
from flows.stages import Outcome, Result, Stage, StageFailed, run_stage

if TYPE_CHECKING:
    from prefect import Task

REGISTER = "register"
RETRIES, RETRY_AFTER_S = 2, 10.0  # of a stage that failed for an outside reason; each pause is twice the last


@dataclass(frozen=True)
class Session:
    """What the tasks of one run share."""

    root: Path
    stages: tuple[Stage, ...]  # in order
    stale: Mapping[str, tuple[str, ...]]
    board: Board
    stop: threading.Event
    embedded: bool  # the Prefect server is this run's own
    profile: str = ""
    force: bool = False  # stages run also where nothing changed
    registers: bool = True  # after the last stage; not where the run is of a part of the graph
    results: list[Result] = field(default_factory=list)  # of stages that ended; they outlive a Prefect server that went
    given_up: threading.Event = field(default_factory=threading.Event)  # the Prefect server went and did not come back


def stage_tasks(session: Session) -> dict[str, Task[..., Any]]:
    """One Prefect task per stage of the graph, and the one that registers."""
    tasks = {stage.name: _stage_task(session, stage) for stage in session.stages}
    return tasks | {REGISTER: _task(REGISTER, lambda upstream: _register(session), retries=0)}


def _stage_task(session: Session, stage: Stage) -> Task[..., Any]:
    def run(upstream: list[Result]) -> Result:
        return _up_to_date(session, stage, upstream)

    retries, delay = int(stage.meta.get("retries", RETRIES)), float(stage.meta.get("retry_after_s", RETRY_AFTER_S))
    delays = [delay * 2**number for number in range(retries)]
    return _task(stage.name, run, retries=retries, retry_delay_seconds=delays)


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
    unchanged = stage.name not in session.stale and not any(result.changed for result in upstream)
    if unchanged and not session.force:
        session.board.ended(stage.name, Outcome.CACHED)
        return Result(stage.name, Outcome.CACHED)
    needs_accelerator = bool(stage.meta.get("accelerator"))
    with accelerator(session.stop, session.embedded) if needs_accelerator else nullcontext():
        return _logged(
            session, stage.name, lambda log: run_stage(session.root, stage, log, session.stop, session.force)
        )


def _logged(session: Session, name: str, work: Callable[[Callable[[str], None]], Result]) -> Result:
    """Does `work` and sends its lines to the terminal and to Prefect."""
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


def _register(session: Session) -> Result:
    """Registers the best models, promotes what the policy lets through, and shows the verdict on Prefect's pages."""

    def work(log: Callable[[str], None]) -> Result:
        from httpx import HTTPError

        from components import register
        from components.promotion import ledger
        from flows import approval, artifacts

        layout = Layout(session.root)
        before = len(ledger.history(layout))
        decisions = register.run(layout, params.load(session.root / PARAMS))
        for decision in decisions:
            log(decision.summary)
        if prefect_answers(session):
            try:
                artifacts.publish(layout, decisions)
            except HTTPError as error:  # it answers and takes nothing; what was decided stands
                log(f"Prefect's pages do not show it: {error}")
            if not session.embedded:
                approval.announce(decisions)
                artifacts.announce(decisions, ledger.history(layout)[before:])
        changed = any(decision.outcome != "unchanged" for decision in decisions)
        return Result(REGISTER, Outcome.DONE if changed else Outcome.CACHED)

    return _logged(session, REGISTER, work)


def prefect_answers(session: Session) -> bool:
    """Whether Prefect's server takes records. Waits for it, except for an embedded one, which does not come back."""
    gone = session.embedded or session.given_up.is_set()
    if prefect_server.answers_within(0.0 if gone else prefect_server.OUTAGE_S, session.stop, session.board.say):
        return True
    say_unrecorded(session, "it went away and did not come back")
    return False


def say_unrecorded(session: Session, reason: str) -> None:
    """Says once that Prefect's server does not record the end of this run."""
    if not session.given_up.is_set():
        session.given_up.set()
        session.board.say(
            f"Prefect's server does not record how this run ended: {reason}. Nothing else is lost: what the stages "
            "made is in DVC's cache, and `medsr run` goes on from there."
        )
