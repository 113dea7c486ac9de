"""Automations of a Prefect server: they end runs that went silent, and notify a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from components.handover import StepError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events import AutomationCore

SILENT_S = 600.0  # without a heartbeat; each 30 s by `infra/prefect.yaml`
RUNS, HEARTBEAT = "prefect.flow-run.*", "prefect.flow-run.heartbeat"
# the states in which no heartbeat is owed; that of beginning is none: it may be heard after the first heartbeat
AT_REST = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled", "Suspended", "Paused", "AwaitingRetry")
SILENCE, TROUBLE = "medsr: a run went silent", "medsr: a run needs somebody"
DRIFT, VERDICT = "medsr: drift", "medsr: the verdict changed"
DRIFT_FOUND, VERDICT_CHANGED = "medsr.drift.found", "medsr.verdict.changed"
NEEDS_SOMEBODY = ("Failed", "Crashed", "TimedOut", "Suspended")
BODY = """\
{{ flow.name }} {{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}
{{ flow_run | ui_url }}"""


def register(server: str, notify: str = "", silent_s: float = SILENT_S) -> None:
    """Brings the automations of the server at `server` up to date.

    `notify` names a notification block on the server, such as `slack-webhook/ward`. It gets a message for drift, for
    a changed verdict, and for each run that failed or waits for an answer. Raises `StepError` where it is missing.
    """
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(server) as client:
        automations = [_silence(silent_s), *(_notifications(client, server, notify) if notify else ())]
        _replace(client, automations)


def _replace(client: SyncPrefectClient, automations: Sequence[AutomationCore]) -> None:
    """Makes `automations` the only ones with our names.

    An equal one on the server stays: replacing it would forget what it waits for, such as a run's next heartbeat.
    """
    from prefect.events import AutomationCore

    missing = list(automations)
    for name in (SILENCE, TROUBLE, DRIFT, VERDICT):
        for stored in client.read_automations_by_name(name):
            existing = AutomationCore.model_validate(stored.model_dump())
            if existing in missing:
                missing.remove(existing)
            else:
                client.delete_automation(stored.id)
    for automation in missing:
        client.create_automation(automation)


def _silence(silent_s: float) -> AutomationCore:
    """Marks silent runs as crashed. Without it a run whose machine is gone stays `Running`, and others wait for it."""
    from prefect.client.schemas.objects import StateType
    from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification
    from prefect.events.actions import ChangeFlowRunState

    message = f"no sign of life for {silent_s / 60:g} min: its process or its machine is gone. The next run goes on."
    return AutomationCore(
        name=SILENCE,
        description="Marks as crashed what gives no sign of life any more.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match=ResourceSpecification({"prefect.resource.id": RUNS}),
            after={HEARTBEAT},
            expect={HEARTBEAT, *(f"prefect.flow-run.{state}" for state in AT_REST)},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=silent_s),
        ),
        actions=[ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=message, force=False)],
    )


def _notifications(client: SyncPrefectClient, server: str, notify: str) -> list[AutomationCore]:
    from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification
    from prefect.events.actions import SendNotification
    from prefect.exceptions import ObjectNotFound

    kind, _, name = notify.partition("/")
    try:
        block = client.read_block_document_by_name(name, kind).id
    except ObjectNotFound as error:
        raise StepError(
            f"{server}: expected the notification block {notify}, TYPE/NAME, found none. Make it on Prefect's page "
            "Blocks, or name another."
        ) from error
    if block is None:
        raise StepError(f"{server}: the block {notify} has no number")
    deployed = ResourceSpecification({"prefect.resource.role": "deployment"})
    return [
        AutomationCore(
            name=TROUBLE,
            description="Tells of every scheduled run that failed or waits for an answer.",
            trigger=EventTrigger(
                posture=Posture.Reactive,
                match=ResourceSpecification({"prefect.resource.id": RUNS}),
                match_related=deployed,
                expect={f"prefect.flow-run.{state}" for state in NEEDS_SOMEBODY},
                threshold=1,
            ),
            actions=[SendNotification(block_document_id=block, subject="medsr: {{ flow_run.state.name }}", body=BODY)],
        ),
        _told(DRIFT, "Tells that what arrives differs from what was trained on.", DRIFT_FOUND, block),
        _told(VERDICT, "Tells what was decided about a new version.", VERDICT_CHANGED, block),
    ]


def _told(name: str, description: str, event: str, block: UUID) -> AutomationCore:
    """Sends what an event of ours says."""
    from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification
    from prefect.events.actions import SendNotification

    resource = event.rpartition(".")[0]
    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger(
            posture=Posture.Reactive,
            match=ResourceSpecification({"prefect.resource.id": resource}),
            expect={event},
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=block, subject=name, body="{{ event.payload.said }}")],
    )
