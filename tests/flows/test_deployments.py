from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from components.handover import StepError
from flows import deployments
from tests.flows.conftest import PROJECT
from tests.services import free_port, schedule

pytestmark = pytest.mark.service

DESCRIBED = {one["name"]: one for one in yaml.safe_load((PROJECT / "infra/prefect.yaml").read_text())["deployments"]}


@pytest.fixture(scope="module")
def registered(prefect_server: str) -> str:
    """The server, after the project's own deployments were registered there twice."""
    deployments.register(PROJECT, prefect_server)
    said = "\n".join(deployments.register(PROJECT, prefect_server))
    assert all(name in said for name in DESCRIBED)
    return prefect_server


def test_every_deployment_is_there_once_with_its_schedule_and_its_limit(registered: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(registered) as client:
        found = {one.name: one for one in client.read_deployments()}
        assert set(found) == set(DESCRIBED)
        for name, deployment in found.items():
            described = DESCRIBED[name]
            crons = [one["cron"] for one in described.get("schedules", [])]
            assert [one.schedule.cron for one in deployment.schedules] == crons
            if limit := described.get("concurrency_limit"):
                assert deployment.global_concurrency_limit.limit == limit["limit"]
                assert deployment.concurrency_options.collision_strategy == limit["collision_strategy"]
            assert deployment.work_pool_name == "medsr"
        automations = client.request("POST", "/automations/filter").json()
    starts = sorted(
        (event, one["enabled"])
        for one in automations
        if one["actions"][0]["type"] == "run-deployment"
        for event in one["trigger"]["expect"]
    )
    assert starts == [
        ("medsr.data.arrived", True),
        ("medsr.drift.found", False),  # trains
        ("medsr.drift.found", False),  # asks whether to
        ("medsr.promotion.awaits", True),
        ("prefect.flow-run.Crashed", True),
    ]


def test_trainings_wait_for_each_other_without_a_lease_that_an_outage_would_end(registered: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(registered) as client:
        weekly = client.read_deployment_by_name("pipeline/weekly-training")
        assert weekly.global_concurrency_limit is None and weekly.work_queue_name == "training"
        assert client.read_work_queue_by_name("training", "medsr").concurrency_limit == 1


@pytest.mark.parametrize("name", ["data-check/nightly-data-check", "enhancement/hourly-inbox", "monitoring/monitoring"])
def test_what_is_due_while_the_one_before_still_runs_is_cancelled(registered: str, name: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.states import Completed, Pending, Running

    with SyncPrefectClient(registered) as client:
        deployment = client.read_deployment_by_name(name).id
        runs = [client.create_flow_run_from_deployment(deployment).id for _ in range(3)]
        try:
            first, second, third = runs
            for state in (Pending(), Running()):
                assert client.set_flow_run_state(first, state).status == "ACCEPT"
            client.set_flow_run_state(second, Pending())
            assert [client.read_flow_run(run).state_name for run in (first, second)] == ["Running", "Cancelled"]
            client.set_flow_run_state(first, Completed())
            assert client.set_flow_run_state(third, Pending()).status == "ACCEPT"
        finally:
            for run in runs:
                client.delete_flow_run(run)


def test_parameters_that_make_no_sense_are_refused(registered: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import PrefectHTTPStatusError

    with SyncPrefectClient(registered) as client:
        weekly = client.read_deployment_by_name("pipeline/weekly-training")
        with pytest.raises(PrefectHTTPStatusError) as refused:
            client.create_flow_run_from_deployment(weekly.id, parameters={"profile": "huge"})
    assert refused.value.response.status_code in (409, 422) and "huge" in refused.value.response.text


def test_a_server_that_is_not_there_is_named(prefect_server: str) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    with pytest.raises(StepError, match=f"{nowhere}: expected to register") as refused:
        deployments.register(PROJECT, nowhere)
    assert len(str(refused.value).splitlines()) > 1, "Prefect's own last lines"
    with pytest.raises(httpx.ConnectError):
        httpx.get(nowhere)


def test_outside_the_project_the_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"infra/prefect\.yaml: expected the deployments, found no file"):
        deployments.register(tmp_path, "http://127.0.0.1:1/api")


def test_what_is_changed_in_the_file_or_taken_out_is_so_on_the_server(registered: str, tmp_path: Path) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    def crons(change: Callable[[dict[str, Any]], None]) -> list[str]:
        schedule(tmp_path, PROJECT, lambda deployments: change(deployments["nightly-data-check"]))
        deployments.register(tmp_path, registered)
        with SyncPrefectClient(registered) as client:
            found = client.read_deployment_by_name("data-check/nightly-data-check").schedules
        return sorted(one.schedule.cron for one in found)

    shutil.copytree(PROJECT / "flows", tmp_path / "flows")
    two = [{"cron": "5 4 * * *", "slug": "early"}, {"cron": "5 5 * * *"}]
    assert crons(lambda nightly: nightly.update(schedules=two)) == ["5 4 * * *", "5 5 * * *"]
    assert crons(lambda nightly: nightly.update(schedules=two[1:])) == ["5 5 * * *"]
    assert crons(lambda nightly: nightly.update(schedules=[{"cron": "6 6 * * *"}])) == ["6 6 * * *"]
    assert crons(lambda nightly: nightly.pop("schedules")) == []
    deployments.register(PROJECT, registered)


def test_a_deployment_that_is_taken_out_is_gone_with_what_starts_it(registered: str, tmp_path: Path) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    def starts() -> list[str]:
        with SyncPrefectClient(registered) as client:
            found = client.request("POST", "/automations/filter").json()
        return sorted(one["name"] for one in found)

    before = starts()
    shutil.copytree(PROJECT / "flows", tmp_path / "flows")
    schedule(tmp_path, PROJECT, lambda deployments: deployments["promotion"].update(name="candidate"))
    said = deployments.register(tmp_path, registered)
    assert "promotion: is not in infra/prefect.yaml any more, removed from the server" in said
    with SyncPrefectClient(registered) as client:
        names = {one.name for one in client.read_deployments()}
    assert names == {*DESCRIBED, "candidate"} - {"promotion"} and len(starts()) == len(before)
    deployments.register(PROJECT, registered)
    assert starts() == before
