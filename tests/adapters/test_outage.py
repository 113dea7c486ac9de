"""MLflow's server is killed while something is trained. It is a real one, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components import train
from components.adapters import tracking, training_runs
from components.handover import Layout, read_record
from flows import mlflow_pages
from tests.flows.conftest import eventually
from tests.settings import small

pytestmark = pytest.mark.service


class Server:
    """An MLflow server of its own, with its database and artifacts in `folder`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind((mlflow_pages.HOST, 0))
            self._port = free.getsockname()[1]
        self.address = f"http://{mlflow_pages.HOST}:{self._port}"
        self._folder, self._process = folder, subprocess.Popen(["true"])
        options = ["--artifacts-destination", str(folder / "artifacts")]
        self._command = [*mlflow_pages.command(self._port), *options]
        self._database = mlflow_pages.environment(Layout(folder))

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        # a group of its own: the server is a parent and a worker, and both have to go
        self._process = subprocess.Popen(
            self._command, env=environment | self._database, cwd=self._folder, start_new_session=True
        )
        assert eventually(self.answers, 180)

    def answers(self) -> bool:
        return mlflow_pages.answers(self._port)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert eventually(lambda: not self.answers(), 20)


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "mlruns").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        one = Server(folder)
        one.start()
    yield one
    one.kill()


@pytest.fixture
def server(module_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """It answers at the beginning of every test; who asks it asks twice, and leaves it alone for no time at all."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if not module_server.answers():
        module_server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", module_server.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(training_runs, "PAUSE", 0.0)
    return module_server


def points(layout: Layout, run_id: str, metric: str) -> list[tuple[int, float]]:
    """Steps and values that MLflow has."""
    history = tracking.connect(layout).MlflowClient().get_metric_history(run_id, metric)
    return [(point.step, point.value) for point in history]


def test_what_a_training_tells_while_the_server_is_away_arrives_when_it_is_back(
    project: Layout, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with training_runs.track(project, "srcnn", {"steps": 4}, "00") as run:
        run.losses(1, 4, {"loss": 1.0})
        server.kill()
        run.losses(2, 4, {"loss": 2.0})
        run.losses(3, 4, {"loss": 3.0})
        said = capsys.readouterr().out
        assert said.count("The training goes on") == 1 and server.address in said
        server.start()
        run.losses(4, 4, {"loss": 4.0})
        assert "MLflow answers again" in capsys.readouterr().out
        run_id, model_id = run.finish(project.model("srcnn"))
    assert points(project, run_id, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    mlflow = tracking.connect(project)
    assert mlflow.get_run(run_id).info.status == "FINISHED"
    assert mlflow.get_logged_model(model_id).source_run_id == run_id


def test_a_training_whose_server_does_not_come_back_is_recorded_later_and_once(
    project: Layout, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.model("srcnn")
    with training_runs.track(project, "srcnn", {"steps": 2}, "00") as run:
        run.losses(1, 2, {"pixel_loss": 1.0})
        server.kill()
        run.losses(2, 2, {"pixel_loss": 2.0})
        torn, model_id = run.finish(folder)
    assert torn and not model_id
    assert f"srcnn: not recorded by MLflow yet; `medsr run` does it from {folder}" in capsys.readouterr().out
    record = replace(read_record(folder / "run.json"), run_id=torn, model_id=model_id)
    with pytest.raises(tracking.Unreachable, match=r"MLflow at http://127.0.0.1.*`medsr run` records"):
        training_runs.restore(project, record)
    server.start()
    restored = training_runs.restore(project, record)
    assert training_runs.restore(project, record) == restored, "recorded a second time"
    mlflow = tracking.connect(project)
    assert mlflow.get_logged_model(restored.model_id).source_run_id == restored.run_id
    assert [step for step, _ in points(project, restored.run_id, "pixel_loss")] == [1, 2, 3, 4, 5, 6]
    old = mlflow.get_run(torn)
    assert (old.info.status, old.data.tags["recorded_as"]) == ("KILLED", restored.run_id)


def test_a_training_that_begins_while_the_server_is_away_is_made_and_recorded_later(
    project: Layout, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.kill()
    shutil.rmtree(project.model("srcnn"))
    record = train.run(project, small(), "srcnn")
    assert record == read_record(project.model("srcnn") / "run.json")
    assert record is not None and (record.run_id, record.model_id) == ("", "")
    assert capsys.readouterr().out.count("The training goes on untracked.") == 1
    server.start()
    restored = training_runs.restore(project, record)
    assert [step for step, _ in points(project, restored.run_id, "pixel_loss")] == [1, 2, 3, 4, 5, 6]
    assert tracking.connect(project).get_logged_model(restored.model_id).name == "srcnn"
