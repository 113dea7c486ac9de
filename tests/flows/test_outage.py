"""Prefect's server is killed while a stage runs. The servers are real ones, on free ports of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from flows import prefect_server as settings
from tests.flows.conftest import ending, eventually
from tests.flows.toy_runs import table

pytestmark = pytest.mark.service

Toy = Callable[[str], Path]
STAGES = """
first:
  cmd: touch up; while ! test -e go; do sleep 0.1; done; echo 1 > a.txt
  outs: [a.txt]
  meta: {accelerator: true}
second: {cmd: "cat a.txt > b.txt", deps: [a.txt], outs: [b.txt], meta: {accelerator: true}}
third: {cmd: "cat b.txt > c.txt", deps: [b.txt], outs: [c.txt]}
"""
RUN = """
import sys
from pathlib import Path

from components import register
from components.adapters import tracking
from flows import artifacts, pipeline, prefect_server

class Decision:
    outcome, summary, model, version = "promoted", "esrgan 1 looked at", "sr-generator", "1"

def publish(layout, decisions):
    from prefect.artifacts import create_markdown_artifact
    create_markdown_artifact(key="verdict", markdown=decisions[0].summary)

tracking.initialise = lambda layout: None
register.run = lambda layout, settings: [Decision()]
artifacts.publish = publish
prefect_server.OUTAGE_S = float(sys.argv[1])
sys.exit(pipeline.run_pipeline(Path()))
"""


class Server:
    """A Prefect server of its own, with its database in `folder`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder, self._process = folder, subprocess.Popen(["true"])
        self.address = f"http://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        environment = os.environ | settings.DEFAULTS | {"PREFECT_HOME": str(self._folder)}
        options = ["--port", str(self._port), "--log-level", "critical"]
        self._process = subprocess.Popen(command + options, env=environment)
        assert eventually(self._answers, 180)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                return True
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server"))
    one.start()
    yield one
    one.kill()


@contextmanager
def begun(root: Path, waits_s: float, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose first stage has begun and waits for the file `go`."""
    command = [sys.executable, "-u", "-X", "faulthandler", "-c", RUN, str(waits_s)]
    # two tries, not six: a request that fails at once costs a test its minute
    own = os.environ | {"PREFECT_CLIENT_MAX_RETRIES": "1", "PYTHONPATH": os.pathsep.join(sys.path)} | environment
    with ending(
        subprocess.Popen(command, cwd=root, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ) as flow:
        if not eventually((root / "up").exists, 180):
            pytest.fail(f"no stage has begun: {told(flow, 1)}")
        yield flow


def told(flow: subprocess.Popen[str], seconds: float) -> str:
    """What the run showed, to its end; of one that does not end in that time, also where it stands."""
    try:
        return flow.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        flow.send_signal(signal.SIGABRT)
        return flow.communicate()[0]


def ended(flow: subprocess.Popen[str]) -> str:
    """What the run showed; it ended well."""
    shown = told(flow, 300)
    assert flow.returncode == 0, shown
    assert table(shown) == dict.fromkeys(("first", "second", "third", "register"), "done"), shown
    return shown


def states(address: str) -> dict[str, str]:
    """The state of the newest flow run and of its tasks, by name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: address}), get_client(sync_client=True) as client:
        (newest,) = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
        mine = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[newest.id]))
        tasks = {
            task.name.rpartition("-")[0]: str(task.state_name) for task in client.read_task_runs(task_run_filter=mine)
        }
    return tasks | {"flow": str(newest.state_name)}


def test_a_run_goes_on_while_the_server_is_away_and_is_recorded_when_it_is_back(toy: Toy, server: Server) -> None:
    root = toy(STAGES)
    with begun(root, 300, PREFECT_API_URL=server.address) as flow:
        server.kill()
        (root / "go").touch()
        assert eventually((root / "c.txt").exists, 120)
        server.start()
        assert "Prefect's server does not answer; waiting up to 5 min" in ended(flow)
    names = ("first", "second", "third", "register", "flow")
    assert eventually(lambda: states(server.address) == dict.fromkeys(names, "Completed"), 180)


def test_a_run_whose_server_does_not_come_back_ends_well_and_says_what_is_not_recorded(
    toy: Toy, server: Server
) -> None:
    root = toy(STAGES)
    with begun(root, 1, PREFECT_API_URL=server.address) as flow:
        server.kill()
        (root / "go").touch()
        assert "does not record how this run ended: it went away and did not come back" in ended(flow)


def test_a_run_outlives_its_own_server(toy: Toy) -> None:
    root = toy(STAGES)
    with begun(root, 300) as flow:
        (own,) = (pid for pid in descendants(flow.pid) if b"uvicorn" in command_of(pid))
        os.kill(own, signal.SIGKILL)
        (root / "go").touch()
        shown = ended(flow)
    assert "did not come back" in shown and "waiting" not in shown


def descendants(pid: int) -> list[int]:
    return [one.pid for one in psutil.Process(pid).children(recursive=True)]


def command_of(pid: int) -> list[bytes]:
    """Its words; none of a process that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def test_a_server_that_is_not_there_is_said_before_anything_runs(toy: Toy) -> None:
    root = toy("only: {cmd: touch done}")
    command = [sys.executable, "-m", "flows.cli", "run"]
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"MEDSR_ROOT": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "http://127.0.0.1:9/api: expected Prefect's server, nothing answers there." in done.stdout + done.stderr
    assert not (root / "done").exists()
