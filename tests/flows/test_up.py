"""One machine, everything running: what comes by schedule, by event, by hand; killed, cancelled, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from components.adapters import registry, tracking, training_runs
from components.handover import Layout, StepError, read_record
from components.promotion import ledger, lineage
from flows import running, up
from flows.kept import Service
from tests.flows.conftest import PROJECT, alive, eventually, written_pid
from tests.services import HOST, Services, free_port, schedule, with_home
from tests.services import up as everything
from tests.settings import content

pytestmark = pytest.mark.service

SLOW = """\
stages:
  ingest: {cmd: "mkdir data/raw; ls archive > data/raw/index.csv", deps: [data/sources.json], outs: [data/raw]}
  split: {cmd: cp data/raw/index.csv data/splits.csv, deps: [data/raw], outs: [data/splits.csv]}
  validate: {cmd: "true", deps: [data/splits.csv]}
  slow:
    cmd: "sleep 600 & echo $! > pid; wait"
    deps: [data/raw]
"""


def every_minute(deployments: dict[str, Any]) -> None:
    """The data check runs each minute and waits for nothing; training only where that sees something."""
    deployments["nightly-data-check"]["schedules"] = [{"cron": "* * * * *"}]
    deployments["nightly-data-check"]["parameters"] = {"quiet_minutes": 0}
    del deployments["weekly-training"]["schedules"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, trained: Layout) -> Path:
    """A project with a stage that does not end by itself, with models and a folder of images outside its graph."""
    root = tmp_path_factory.mktemp("up")
    shutil.copytree(trained.data, root / "data")
    for package in ("components", "flows"):
        shutil.copytree(PROJECT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    schedule(root, PROJECT, every_minute)
    (root / "dvc.yaml").write_text(SLOW)
    (root / "data" / "sources.json").write_text("{}")
    (root / "archive").mkdir()
    (root / "archive" / "a.dcm").write_bytes(b"a")
    settings = content()
    settings["ingest"]["super_resolution"] = ["dicom:archive"]
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    from dvc.repo import Repo

    Repo.init(str(root), no_scm=True).close()
    return root


@pytest.fixture(scope="module")
def services(root: Path) -> Iterator[Services]:
    with everything(root, with_home(root)) as services:
        yield services
    assert not services.children()
    assert not at_work(root), "what ran was ended with it"


def at_work(root: Path) -> list[list[str]]:
    """The commands of all processes whose folder is the project."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(root):
                found.append(process.cmdline())
    return found


@contextmanager
def client(services: Services) -> Iterator[Any]:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(services.api) as asked:
        yield asked


def runs(services: Services, name: str) -> dict[str, str]:
    """The runs of a deployment that have begun, and their states."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    with client(services) as asked:
        found = asked.read_flow_runs(deployment_filter=wanted)
    return {str(run.id): run.state_name for run in found if run.start_time}  # one that is late has none


def test_pages_and_worker_are_there(services: Services) -> None:
    assert answers(services.mlflow)
    with client(services) as prefect:
        assert [one.name for one in prefect.read_workers_for_work_pool("medsr")] == ["medsr-up"]
    assert f"Prefect: {services.api.removesuffix('/api')}\nMLflow: {services.mlflow}\n" in services.said()
    with urllib.request.urlopen(
        f"{services.mlflow}/api/2.0/mlflow/experiments/search?max_results=9", timeout=60
    ) as told:
        assert tracking.DEFAULT_EXPERIMENT in {one["name"] for one in json.load(told)["experiments"]}
    assert services.children("mlflow") and not services.children("mlflow.db"), "an address may hold a password"


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_new_images_are_seen_by_schedule_and_start_a_run_that_can_be_cancelled(root: Path, services: Services) -> None:
    from prefect.states import Cancelling

    assert eventually(lambda: (root / "pid").is_file(), 240), "the check of the minute saw the archive"
    stage = written_pid(root / "pid")
    assert alive(stage)
    (started,) = (one for one, state in runs(services, "weekly-training").items() if state == "Running")
    with client(services) as asked:
        asked.set_flow_run_state(started, Cancelling())  # as the button on Prefect's page does
    assert eventually(lambda: not alive(stage))
    assert eventually(lambda: runs(services, "weekly-training").get(started) == "Cancelled")
    assert "Completed" in runs(services, "nightly-data-check").values()


def test_images_that_no_training_has_seen_start_one_again(root: Path, services: Services) -> None:
    before = runs(services, "weekly-training")
    assert eventually(lambda: "Running" in runs(services, "weekly-training").values(), 240)
    assert len(runs(services, "weekly-training")) == len(before) + 1


def test_a_candidate_waits_for_a_person_whose_answer_is_carried_out(root: Path, services: Services) -> None:
    layout = Layout(root)
    record = training_runs.restore(layout, read_record(layout.model("srcnn") / "run.json"))
    registry.register(layout, "sr-generator", record, lineage.keep(layout, record.model_id))
    announce(root, services)
    assert eventually(lambda: "Suspended" in runs(services, "promotion").values(), 120)
    announce(root, services)
    assert eventually(lambda: "Completed" in runs(services, "promotion").values(), 120), "it is not asked twice"
    (waiting,) = (one for one, state in runs(services, "promotion").items() if state == "Suspended")
    with client(services) as asked:
        shown = {one.key: one.data for one in asked.read_artifacts()}
        assert "sr-generator 1" in shown["approval-sr-generator-1"]
        refused = asked.resume_flow_run(waiting, run_input={"promote": True, "by": "", "reason": ""})
        assert refused.status == "REJECT" and registry.by_alias(layout, "sr-generator", "champion") is None
        asked.resume_flow_run(waiting, run_input={"promote": True, "by": "Roe", "reason": "looks right"})
    assert eventually(lambda: runs(services, "promotion").get(waiting) == "Completed", 120), runs(services, "promotion")
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.number == "1"
    (entry,) = ledger.history(layout)
    assert (entry["outcome"], entry["by"], entry["reason"]) == ("promoted", "Roe", "looks right")


def announce(root: Path, services: Services) -> None:
    """What a run says to the server whose candidate waits."""
    said = (
        "from components.register import Decision; from flows import approval\n"
        "approval.announce([Decision('sr-generator', 'srcnn', '1', 'awaiting approval', '', ())])"
    )
    environment = with_home(root) | {"PREFECT_API_URL": services.api}
    subprocess.run([sys.executable, "-c", said], cwd=root, env=environment, check=True)


def test_server_and_worker_that_were_killed_come_back(services: Services) -> None:
    earlier = runs(services, "nightly-data-check")
    # just after one: a check that is killed holds up those after it until its lease runs out, which is another story
    assert eventually(lambda: "Completed" in later(services, earlier), 300)
    for words in (("prefect", "server"), ("prefect", "worker")):
        (before,) = services.children(*words)
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda words=words, before=before: before not in (services.children(*words) or [before]))
    assert "server ended, exit code -9; again in" in services.said()
    assert eventually(lambda: answers(f"{services.api}/health"), 120)
    before_that = runs(services, "nightly-data-check")
    assert eventually(lambda: "Completed" in later(services, before_that), 600), "schedules go on"


def later(services: Services, before: dict[str, str]) -> set[str]:
    """The states of data checks that began since."""
    return {state for one, state in runs(services, "nightly-data-check").items() if one not in before}


def test_a_given_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        taken = int(listener.getsockname()[1])
        with pytest.raises(StepError, match=f"port {taken}: expected it free"):
            up.run(tmp_path, free_port(), taken, "", print)
    with pytest.raises(StepError, match=f"port {taken}: expected two different ports"):
        up.run(tmp_path, taken, taken, "", print)
    assert running.find(Layout(tmp_path)) is None


def test_a_port_that_is_not_given_is_the_usual_one_where_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    prefect, mlflow = free_port(), free_port()
    monkeypatch.setattr(up, "PORT", prefect)
    monkeypatch.setattr(up, "MLFLOW_PORT", mlflow)
    assert up.choose_addresses(None, None, "").ports == (prefect, mlflow)
    for given in ((mlflow, None), (None, prefect)):  # one port is not taken twice
        first, second = up.choose_addresses(*given, "").ports
        assert first != second and {first, second} & {prefect, mlflow}
    with socket.create_server((HOST, prefect)), socket.create_server((HOST, mlflow)):
        others = up.choose_addresses(None, None, "").ports
    assert len({prefect, mlflow, *others}) == 4


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Service]]:
    """What `up` would keep running; neither Prefect nor MLflow is there, and who reads "Running" ends it."""
    started: list[Service] = []

    class Kept:
        def __init__(self, *_: object) -> None:
            self.start, self.join = started.append, lambda: None

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(up, "Kept", Kept)
    monkeypatch.setattr(up, "configure", lambda: None)
    monkeypatch.setattr(up, "_wait", lambda *_: None)
    monkeypatch.setattr("flows.deployments.register", lambda *_: [])
    yield started
    for number, handler in before.items():
        signal.signal(number, handler)


def ending_at_once(said: list[str]) -> Callable[[str], None]:
    def say(line: str) -> None:
        said.append(line)
        if line.startswith("Running"):
            os.kill(os.getpid(), signal.SIGTERM)

    return say


def test_a_tracking_server_that_is_given_is_named_none_is_started_and_its_absence_is_said(
    tmp_path: Path, stood_in: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://medsr:secret@127.0.0.1:9")
    said: list[str] = []
    with socket.create_server((HOST, 0)) as taken:  # none is started there either
        assert up.run(tmp_path, free_port(), taken.getsockname()[1], "", ending_at_once(said)) == 0
    assert [service.name for service in stood_in] == ["server", "worker"]
    assert said[0].startswith("MLflow at http://127.0.0.1:9: expected it to take what it is told")
    assert "MLflow: http://127.0.0.1:9" in said and not any("secret" in line for line in said)


def test_a_database_is_given_to_mlflow_s_pages_alone(
    tmp_path: Path, stood_in: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")
    assert up.run(tmp_path, free_port(), free_port(), "", ending_at_once([])) == 0
    assert [service.name for service in stood_in] == ["server", "mlflow", "worker"]
    assert [service.environment.get("MLFLOW_BACKEND_STORE_URI") for service in stood_in] == [
        None,
        f"sqlite:///{tmp_path}/own.db",
        None,
    ]


def test_prefect_s_server_lets_go_of_old_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

    for name, value in up.SERVER.items():
        monkeypatch.setenv(name, value)
    understood = ServerServicesDBVacuumSettings()
    assert understood.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert understood.retention_period == timedelta(days=90)
    assert "those that ended, after 90 days" in (PROJECT / "infra" / "README.md").read_text()
