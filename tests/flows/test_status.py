from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows import deployments, health, status
from flows.deployments import POOL
from tests.flows.conftest import PROJECT
from tests.services import free_port, schedule

pytestmark = pytest.mark.service

NAMES = {
    "approval/promotion",
    "data-check/nightly-data-check",
    "enhancement/hourly-inbox",
    "monitoring/monitoring",
    "retraining/drift",
    "pipeline/weekly-training",
}


def rest(described: dict[str, Any]) -> None:
    described["monitoring"]["schedules"] = [{"cron": "0 3 * * *", "timezone": "Europe/Vienna", "active": False}]
    del described["weekly-training"]["schedules"]


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    with SyncPrefectClient(prefect_server) as client:
        yield client


@pytest.fixture(scope="module")
def registered(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server with the project's deployments, one of which rests and one of which has no schedule."""
    root = tmp_path_factory.mktemp("registered")
    (root / "flows").symlink_to(PROJECT / "flows")
    schedule(root, PROJECT, rest)
    deployments.register(root, prefect_server)
    return prefect_server


def test_a_server_elsewhere_is_shown_with_its_deployments(
    tmp_path: Path, registered: str, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Completed, Running, Scheduled

    monkeypatch.setenv("PREFECT_API_URL", registered)
    client.request("POST", f"/work_pools/{POOL}/workers/heartbeat", json={"name": "elsewhere"})
    weekly = client.read_deployment_by_name("pipeline/weekly-training").id
    runs = [client.create_flow_run_from_deployment(weekly).id for _ in range(2)]
    for run, state in (
        (runs[0], Running()),
        (runs[0], Completed()),
        (runs[1], Scheduled(scheduled_time=datetime(2099, 1, 4, 2, tzinfo=UTC))),
    ):
        client.set_flow_run_state(run, state)
    try:
        shown = status.examine(tmp_path)
    finally:
        for run in runs:
            client.delete_flow_run(run)
    assert [(one.service, one.state) for one in shown.services] == [
        ("Prefect server", "answers"),
        ("worker", "answers"),
        ("MLflow", "not started"),
    ]
    assert shown.services[0].address == registered and shown.up is None and not shown.well
    rows = {row.deployment: row for row in shown.deployments}
    assert set(rows) == NAMES
    trained = rows["pipeline/weekly-training"]
    assert (trained.schedule, trained.last_state, trained.next_run) == ("", "Completed", "2099-01-04T02:00:00+00:00")
    assert datetime.now(UTC) - datetime.fromisoformat(trained.last_run) < timedelta(minutes=5)
    assert rows["monitoring/monitoring"].schedule == "0 3 * * * Europe/Vienna, rests"
    assert (rows["enhancement/hourly-inbox"].schedule, rows["enhancement/hourly-inbox"].last_state) == (
        "0 * * * * UTC",
        "",
    )


def test_a_worker_that_was_not_heard_of_since_does_not_answer(registered: str, client: SyncPrefectClient) -> None:
    before = datetime.now(UTC)
    client.request("POST", f"/work_pools/{POOL}/workers/heartbeat", json={"name": "one"})
    assert health.worker_answers(registered, POOL) and health.worker_answers(registered, POOL, before)
    assert not health.worker_answers(registered, POOL, datetime.now(UTC))
    assert not health.worker_answers(registered, "another-pool")


@pytest.mark.parametrize("address", [lambda: f"http://127.0.0.1:{free_port()}", lambda: "http://[", lambda: "nowhere"])
def test_an_address_where_nothing_answers_is_no_error(
    tmp_path: Path, address: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", address())
    shown = status.examine(tmp_path)
    assert [one.state for one in shown.services] == ["does not answer", "does not answer", "not started"]
    assert shown.deployments == ()


def test_credentials_are_those_of_prefect_s_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1")
    assert health.prefect("https://prefect.example/api").headers["Authorization"] == "Bearer pnu_1"
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pass")
    assert health.prefect("https://prefect.example/api").headers["Authorization"] == "Basic YWRtaW46cGFzcw=="
