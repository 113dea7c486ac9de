"""What a Prefect server does by itself: ends runs that went silent with their machine, and tells a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from components.handover import StepError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events import AutomationCore

SILENT_S = 600.0  # without a heartbeat; each 30 s by `infra/prefect.yaml`
RUNS, HEARTBEAT = "prefect.flow-run.*", "prefect.flow-run.heartbeat"
# the states in which no heartbeat is owed; that of beginning is none: it may be heard after the first heartbeat
AT_REST = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled", "Suspended", "Paused", "AwaitingRetry")
SILENCE, TROUBLE, DRIFT = "medsr: a run went silent", "medsr: a run needs somebody", "medsr: drift"
NEEDS_SOMEBODY = ("Failed", "Crashed", "TimedOut", "Suspended")
TOLD = """\
{{ flow.name }} {{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}
{{ flow_run | ui_url }}"""


def register(server: str, notify: str = "", silent_s: float = SILENT_S) -> None:
    """Brings the automations of the server at `server` up to date.

    `notify` names a notification block that is there, `slack-webhook/ward`; it then hears of runs that failed or wait
    for an answer, and of drift. Raises `StepError` where it is not there.
    """
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(server) as client:
        wanted = [_silence(silent_s), *(_telling(client, server, notify) if notify else ())]
        _replace(client, wanted)


def _replace(client: SyncPrefectClient, wanted: Sequence[AutomationCore]) -> None:
    """Makes `wanted` the only ones with our names.

    One that is there already stays: what it waits for would be forgotten with it, a run's next heartbeat above all.
    """
    from prefect.events import AutomationCore

    missing = list(wanted)
    for name in (SILENCE, TROUBLE, DRIFT):
        for old in client.read_automations_by_name(name):
            same = AutomationCore.model_validate(old.model_dump())
            if same in missing:
                missing.remove(same)
            else:
                client.delete_automation(old.id)
    for automation in missing:
        client.create_automation(automation)


def _silence(silent_s: float) -> AutomationCore:
    """A run whose process, or machine, is gone stays `Running` for ever, and what waits for it waits for ever."""
    from prefect.client.schemas.objects import StateType
    from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification
    from prefect.events.actions import ChangeFlowRunState

    said = f"no sign of life for {silent_s / 60:g} min: its process or its machine is gone. The next run goes on."
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
        actions=[ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=said, force=False)],
    )


def _telling(client: SyncPrefectClient, server: str, notify: str) -> list[AutomationCore]:
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
            actions=[SendNotification(block_document_id=block, subject="medsr: {{ flow_run.state.name }}", body=TOLD)],
        ),
        AutomationCore(
            name=DRIFT,
            description="Tells that what arrives differs from what was trained on.",
            trigger=EventTrigger(
                posture=Posture.Reactive,
                match=ResourceSpecification({"prefect.resource.id": "medsr.drift"}),
                expect={"medsr.drift.found"},
                threshold=1,
            ),
            actions=[
                SendNotification(block_document_id=block, subject="medsr: drift", body="{{ event.payload.said }}")
            ],
        ),
    ]
