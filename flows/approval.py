"""A person's decision about a candidate, or about drift: a Prefect run that waits, the evidence beside the question.

The run is suspended: no process runs meanwhile, and it outlives worker, server and machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from components.adapters import registry, tracking
from components.handover import Layout
from components.promotion import ledger
from components.register import AWAITING, Decision

ASKED, EVENT = "approval", "medsr.promotion.awaits"
RETRAINING = "retraining"  # the flow that asks whether to train
TRAINING = "pipeline/weekly-training"  # the deployment that a yes starts
PATIENCE_S = 30 * 24 * 3600


def announce(decisions: Iterable[Decision]) -> None:
    """Emits `medsr.promotion.awaits` for each candidate that waits; `infra/prefect.yaml` says what follows."""
    from prefect.events import emit_event

    for decision in decisions:
        if decision.outcome == AWAITING:
            resource = {"prefect.resource.id": f"medsr.promotion.{decision.model}.{decision.version}"}
            payload = {"model": decision.model, "number": decision.version, "summary": decision.summary}
            emit_event(EVENT, resource=resource, payload=payload)


def ask(model: str, number: str) -> str:
    """Suspends the flow run until a person answers, then does what they say. Gives a sentence about it.

    Prefect runs it twice: up to the question, and again with the answer once the run is resumed.
    """
    from prefect import suspend_flow_run

    layout = Layout()
    tracking.initialise(layout)
    version = ledger.version_of(layout, model, number)
    champion = registry.by_alias(layout, model, registry.CHAMPION)
    if champion and champion.number == number:
        return f"{model} {number} is the champion already"
    if _asked_elsewhere(ASKED, {"model": model, "number": number}):
        return f"{model} {number}: another run asks already"
    _show(layout, version)
    form = _form().with_initial_data(
        description=f"Shall **{model} {number}** ({version.method}) serve? Its card is this run's artifact.",
        promote=False,
    )
    answer = suspend_flow_run(wait_for_input=form, timeout=PATIENCE_S, key=ASKED)
    decide = ledger.promote if answer.promote else ledger.decline
    decision = decide(layout, model, number, answer.by, answer.reason)
    return f"{model} {number}: {decision.outcome} by {decision.by}: {decision.reason}"


def ask_to_retrain(drifted: str) -> str:
    """Suspends the flow run until a person answers, then trains if they say so. Gives a sentence about it.

    `drifted` says what drifted. While one run asks, others do not.
    """
    from prefect import suspend_flow_run
    from prefect.deployments import run_deployment

    if _asked_elsewhere(RETRAINING):
        return "another run asks already"
    form = _form("Retraining", train="Train now; it learns from what the sources hold, so bring new images first.")
    description = f"What arrives differs from what was trained on: {drifted}. `mlruns/monitoring/drift.html` shows how."
    question = form.with_initial_data(description=description, train=False)
    answer = suspend_flow_run(wait_for_input=question, timeout=PATIENCE_S, key=RETRAINING)
    decided = f"{answer.by}: {answer.reason}"
    if not answer.train:
        return f"not trained, by {decided}"
    begun: Any = run_deployment(TRAINING, timeout=0, as_subflow=False)
    return f"{TRAINING} was begun as {begun.name}, by {decided}"


def _form(name: str = "Approval", **question: str) -> Any:
    """A form with one yes or no (`promote` unless `question` names another), a name and a reason."""
    from prefect.input import RunInput
    from pydantic import Field, create_model

    question = question or {"promote": "Put it in service; otherwise the policy will not promote it either."}
    ((key, meaning),) = question.items()
    fields: dict[str, Any] = {key: (bool, Field(description=meaning))}
    return create_model(
        name,
        __base__=RunInput,
        **fields,
        by=(str, Field(min_length=1, description="Your name, kept with the decision.")),
        reason=(str, Field(min_length=1, description="Why, kept with the decision.")),
    )


def _asked_elsewhere(flow: str, parameters: dict[str, str] | None = None) -> bool:
    """Whether another run of that flow is suspended, with these parameters if any are given."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState
    from prefect.client.schemas.filters import FlowRunFilterStateName as StateName
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    own_id = context.flow_run.id if context and context.flow_run else None
    waiting = FlowRunFilter(state=FlowRunFilterState(name=StateName(any_=["Suspended"])))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])), flow_run_filter=waiting)
    return any(run.id != own_id and parameters in (None, run.parameters) for run in runs)


def _show(layout: Layout, version: registry.Version) -> None:
    from prefect.artifacts import create_markdown_artifact

    card = registry.folder_of(layout, version).parents[1] / registry.CARD
    create_markdown_artifact(
        key=f"{ASKED}-{version.name}-{version.number}",
        markdown=card.read_text(encoding="utf-8")
        if card.is_file()
        else f"{version.name} {version.number} has no card.",
        description="What the candidate is for, was made from and scored, line by line of the policy.",
    )
