"""Registers the deployments of `infra/prefect.yaml` with a Prefect server: `medsr deploy`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.handover import StepError
from flows import automations, process_group

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

DESCRIPTION = Path("infra/prefect.yaml")
REMOVED = "removed from the server"
POOL, TRAINING = "medsr", "training"  # Prefect's work pool, and its queue for what takes the whole machine


def environment(root: Path, server: str) -> dict[str, str]:
    """The environment of a process that talks to the server at `server` about the project in `root`."""
    return {
        **os.environ,
        "PREFECT_API_URL": server,
        "MEDSR_ROOT": str(root.resolve()),
        "PYTHONPATH": str(root.resolve()),
    }


def register(root: Path, server: str, notify: str = "") -> list[str]:
    """Makes the work pool and every deployment of `infra/prefect.yaml`, and gives Prefect's own output.

    `notify` is for `automations.register`. Calling it again updates everything. Raises `StepError` with Prefect's last
    lines where it fails.
    """
    if not (root / DESCRIPTION).is_file():
        raise StepError(f"{root / DESCRIPTION}: expected the deployments, found no file. Run from the project's root.")
    lines: list[str] = []
    for arguments in (
        ("work-pool", "create", POOL, "--type", "process", "--overwrite"),
        ("--no-prompt", "deploy", "--all", "--prefect-file", str(DESCRIPTION)),
    ):
        command = [sys.executable, "-m", "prefect", *arguments]
        code = process_group.run(command, root, environment(root, server), lines.append, threading.Event())
        if code:
            shown = "".join(f"\n  {line}" for line in lines[-12:])
            raise StepError(f"{server}: expected to register {DESCRIPTION}, exit code {code}.{shown}")
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(server) as client:
        _one_training_at_a_time(client)
        described = _described(root)
        _end_schedules(client, described)
        lines += _end_deployments(client, described)
    automations.register(server, notify)
    return lines


def _one_training_at_a_time(client: SyncPrefectClient) -> None:
    """Limits the trainings' queue to one run at a time.

    A deployment's own limit would not do. A run renews it each fourth minute, and Prefect ends the run where the server
    does not answer.
    """
    queue = client.read_work_queue_by_name(TRAINING, POOL)
    client.update_work_queue(queue.id, concurrency_limit=1)


def _end_deployments(client: SyncPrefectClient, described: dict[str, Any]) -> list[str]:
    """Deletes deployments of the pool that are not described any more, with their triggers. Their runs stay."""
    ended = [one for one in client.read_deployments() if one.work_pool_name == POOL and one.name not in described]
    for deployment in ended:
        client.delete_resource_owned_automations(f"prefect.deployment.{deployment.id}")
        client.delete_deployment(deployment.id)
    return [f"{deployment.name}: is not in {DESCRIPTION} any more, {REMOVED}" for deployment in ended]


def _end_schedules(client: SyncPrefectClient, described: dict[str, Any]) -> None:
    """Deletes schedules that are not described any more, because Prefect keeps them."""
    for deployment in client.read_deployments():
        if deployment.name in described and not described[deployment.name].get("schedules"):
            for schedule in deployment.schedules:
                client.delete_deployment_schedule(deployment.id, schedule.id)


def _described(root: Path) -> dict[str, Any]:
    described = yaml.safe_load((root / DESCRIPTION).read_text(encoding="utf-8"))
    return {deployment["name"]: deployment for deployment in described["deployments"]}
