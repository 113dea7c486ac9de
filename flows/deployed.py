"""What a Prefect worker starts beside the pipeline, by schedule or event; `infra/prefect.yaml` says when."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.prefect_server import configure

if TYPE_CHECKING:
    from components.sources.listing import SourceState


def __getattr__(name: str) -> Any:
    """The flow of that name, made when a worker asks for it: importing this module does not import Prefect."""
    if name not in _BODIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from prefect import flow

    return flow(name=name.replace("_", "-"), persist_result=False)(_BODIES[name])


def _data_check(quiet_minutes: float = 5.0) -> Any:
    """Ingests, splits and validates what the sources hold now. Gives a sentence about it.

    Emits the event `medsr.data.arrived` where the images differ from those that were trained on. Files that are younger
    than `quiet_minutes` may still be arriving: then it waits for the next check. So it does while a run is at work.
    """
    from prefect import get_run_logger
    from prefect.events import emit_event
    from rich.console import Console

    from components import params
    from components.handover import Layout
    from components.sources import listing
    from flows import pipeline, planning
    from flows.project_lock import Held
    from flows.stages import Outcome

    configure()
    log = get_run_logger().info
    with _nameless():
        state = listing.compare(Layout(), params.load_here())
    if state.changes and state.youngest_s < 60 * quiet_minutes:
        summary = f"{_said(state)}; still arriving, the newest file is {state.youngest_s:.0f} s old"
        log(summary)
        return summary
    try:
        with pipeline.prepared(Path(), Console(), only=planning.DATA_STAGES, wait=False) as session:
            results = pipeline.run_stages(session)
    except Held as error:
        log(f"{error} The next check looks again.")
        return str(error)
    if any(result.outcome not in (Outcome.DONE, Outcome.CACHED) for result in results):
        return pipeline.concluded(results)
    if not planning.new_images(Path()):
        summary = "nothing new in any source"
    else:
        summary = _said(state) or "images of an earlier check that no training has seen"
        emit_event("medsr.data.arrived", resource={"prefect.resource.id": "medsr.data"}, payload={"said": summary})
    log(summary)
    return summary


def _said(state: SourceState) -> str:
    return "; ".join(map(str, state.changes))


def _approval(model: Literal["sr-generator", "classifier"], number: str) -> str:
    """Asks a person whether the version shall serve, and does what that person says."""
    from prefect import get_run_logger

    from flows import approval

    outcome = approval.ask(model, number)
    get_run_logger().info(outcome)
    return outcome


def _retraining(found: str) -> str:
    """Asks a person whether to train because of drift, and does what that person says."""
    from prefect import get_run_logger

    from flows import approval

    outcome = approval.ask_to_retrain(found)
    get_run_logger().info(outcome)
    return outcome


def _enhancement(inbox: str = "inbox", outbox: str = "outbox") -> str:
    """Enhances what is new in `inbox` with the champion; fails where an image did, after all others are done.

    Prefect, and whom it notifies, hears how many: which, and why, stands in `outbox` alone.
    """
    from prefect import get_run_logger

    from components.adapters import tracking
    from components.handover import Layout
    from flows import enhancement

    if not Path(inbox).is_dir():
        return f"{inbox}: no such folder, nothing to enhance"
    tracking.initialise(Layout())
    with _nameless():
        batch = enhancement.run(Layout(), Path(inbox), Path(outbox), get_run_logger().info)
    if batch.failed:
        raise RuntimeError(f"{batch.summary()}; reasons stand in {outbox}, each in NAME{enhancement.REASON}")
    return batch.summary()


def _monitoring(days: float = 7.0) -> str:
    """Holds what was enhanced lately against what was trained on; emits `medsr.drift.found` where they differ."""
    from prefect import get_run_logger
    from prefect.artifacts import create_table_artifact
    from prefect.events import emit_event

    from components.handover import Layout
    from components.monitoring import drift, enhancement_log
    from flows.automations import DRIFT_FOUND

    records = enhancement_log.records(Layout(), days, get_run_logger().warning)
    findings = drift.examine(drift.reference(Layout()), records)
    page, said = drift.write(Layout(), findings, records, days), drift.summary(findings, days)
    create_table_artifact(key="drift", table=drift.as_table(findings), description=f"{said}. {page.resolve()}")
    if drift.alarming(findings):
        emit_event(DRIFT_FOUND, resource={"prefect.resource.id": "medsr.drift"}, payload={"said": said})
    get_run_logger().info(said)
    return said


@contextmanager
def _nameless() -> Iterator[None]:
    """Keeps out of logs and states what tells whose images are at work: the name of a file at which the machine failed,
    and the values that pydicom wonders at."""
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RuntimeError(f"{reason}: the machine failed, and no image did. The next run goes on.") from None


_BODIES: dict[str, Callable[..., Any]] = {
    "data_check": _data_check,
    "approval": _approval,
    "retraining": _retraining,
    "enhancement": _enhancement,
    "monitoring": _monitoring,
}
