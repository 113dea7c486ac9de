"""What runs, and what ran and comes by schedule: `medsr status`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from components.handover import Layout
from flows import health, mlflow_pages, project_lock, running
from flows.deployments import POOL
from flows.project_lock import Holder
from flows.running import Running

ANSWERS, SILENT, NOT_STARTED = "answers", "does not answer", "not started"
BEGUN = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "PAUSED", "CANCELLING", "CANCELLED")


@dataclass(frozen=True)
class Service:
    """One program of `medsr up`, or one that takes its place."""

    service: str
    state: str
    address: str
    log: str


@dataclass(frozen=True)
class Deployment:
    """What comes by schedule. Times are UTC, ISO 8601, and empty where there is none."""

    deployment: str
    schedule: str
    last_state: str
    last_run: str
    next_run: str


@dataclass(frozen=True)
class Status:
    """What runs in a project."""

    up: Holder | None  # of the lock of `medsr up`
    at_work: Holder | None  # of the lock of runs
    services: tuple[Service, ...]
    deployments: tuple[Deployment, ...]

    @property
    def well(self) -> bool:
        return all(service.state == ANSWERS for service in self.services)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(root: Path) -> Status:
    """What runs in the project in `root`; without a `medsr up` there, what the server at `PREFECT_API_URL` shows."""
    layout = Layout(root)
    present, server = running.find(layout), os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if present:
        services, api = _of_up(layout, present), present.addresses.api
    else:
        services, api = _elsewhere(server), server
    return Status(
        up=present.holder if present else None,
        at_work=project_lock.holder(layout.run_lock),
        services=services,
        deployments=_deployments(api) if services[0].state == ANSWERS else (),
    )


def _of_up(layout: Layout, present: Running) -> tuple[Service, ...]:
    api, mlflow = present.addresses.api, present.addresses.mlflow
    began = datetime.fromisoformat(present.holder.since) if present.holder.since else None
    own_mlflow = len(present.addresses.ports) > 1
    return (
        Service(
            service="Prefect server",
            state=_state(health.answers(f"{api}/health")),
            address=present.addresses.prefect,
            log=str(layout.log("server")),
        ),
        Service(
            service="worker",
            state=_state(health.worker_answers(api, POOL, began)),
            address=f"work pool {POOL}",
            log=str(layout.log("worker")),
        ),
        Service(
            service="MLflow",
            state=_state(health.answers(f"{mlflow}/health")),
            address=mlflow,
            log=str(layout.log("mlflow")) if own_mlflow else "",
        ),
    )


def _elsewhere(api: str) -> tuple[Service, ...]:
    mlflow = mlflow_pages.external_address()
    return (
        Service(
            service="Prefect server",
            state=_state(health.answers(f"{api}/health")) if api else NOT_STARTED,
            address=api,
            log="",
        ),
        Service(
            service="worker",
            state=_state(health.worker_answers(api, POOL)) if api else NOT_STARTED,
            address=f"work pool {POOL}" if api else "",
            log="",
        ),
        Service(
            service="MLflow",
            state=_state(health.answers(f"{mlflow.rstrip('/')}/health")) if mlflow else NOT_STARTED,
            address=mlflow,
            log="",
        ),
    )


def _state(answers: bool) -> str:
    return ANSWERS if answers else SILENT


def _deployments(api: str) -> tuple[Deployment, ...]:
    """Each deployment of our work pool; none where the server ends meanwhile."""
    ours = {"name": {"any_": [POOL]}}
    try:
        with health.prefect(api) as client:
            flows = {flow["id"]: flow["name"] for flow in health.read(client, "/flows/filter", work_pools=ours)}
            listed = health.read(client, "/deployments/filter", work_pools=ours)
            found = [_deployment(client, described, flows[described["flow_id"]]) for described in listed]
            return tuple(sorted(found, key=lambda one: one.deployment))
    except (httpx.HTTPError, ValueError):
        return ()


def _deployment(client: httpx.Client, described: dict[str, Any], flow: str) -> Deployment:
    wanted = {"deployments": {"id": {"any_": [described["id"]]}}}
    begun = health.read(
        client,
        "/flow_runs/filter",
        flow_runs={"state": {"type": {"any_": BEGUN}}},
        sort="EXPECTED_START_TIME_DESC",
        limit=20,
        **wanted,
    )
    coming = health.read(
        client,
        "/flow_runs/filter",
        flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}},
        sort="NEXT_SCHEDULED_START_TIME_ASC",
        limit=1,
        **wanted,
    )
    # one that was cancelled before it began gave way to another
    last = next((run for run in begun if run["start_time"] or run["state_type"] != "CANCELLED"), None)
    return Deployment(
        deployment=f"{flow}/{described['name']}",
        schedule=_schedule(described),
        last_state=last["state_name"] if last else "",
        last_run=_time(last["start_time"] or last["expected_start_time"]) if last else "",
        next_run=_time(coming[0]["next_scheduled_start_time"]) if coming else "",
    )


def _schedule(described: dict[str, Any]) -> str:
    said = []
    for one in described["schedules"]:
        when = one["schedule"]
        text = when.get("cron") or when.get("rrule") or f"every {when['interval']:.0f} s"
        zone = when.get("timezone") or "UTC"
        resting = "" if one["active"] and not described["paused"] else ", rests"
        said.append(f"{text} {zone}{resting}")
    return "; ".join(said)


def _time(text: str | None) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds") if text else ""
