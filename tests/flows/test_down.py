"""One machine in the background: `medsr up --detach`, `status`, `down`. Everything is real."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.handover import Layout, StepError
from flows import detached, down, project_lock, running
from flows.running import Running
from tests import postgresql
from tests.flows.conftest import PROJECT, alive, eventually
from tests.services import HOST, free_port, schedule, with_home

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def nothing_by_itself(deployments: dict[str, Any]) -> None:
    for deployment in deployments.values():
        deployment.pop("schedules", None)


def make(root: Path) -> Path:
    for package in ("components", "flows"):
        shutil.copytree(PROJECT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    impatient(root / "flows" / "kept.py", "GRACE_S = 30.0", "GRACE_S = 5.0")
    schedule(root, PROJECT, nothing_by_itself)
    return root


def impatient(path: Path, before: str, after: str) -> None:
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def medsr(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=root,
        env=with_home(root) | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def family(pid: int) -> set[int]:
    """The process and all that it started."""
    return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}


def gone(processes: set[int], ports: tuple[int, ...]) -> bool:
    return not any(map(alive, processes)) and not any(map(listens, ports))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("down"))


@pytest.fixture(scope="module")
def present(root: Path) -> Iterator[Running]:
    """Everything, started in the background while the usual ports are taken."""
    with ExitStack() as taken:
        for port in (4200, 5000):
            with suppress(OSError):  # it is taken by somebody else
                taken.enter_context(socket.create_server((HOST, port)))
        started = medsr(root, "up", "--detach")
    assert started.returncode == 0, started.stderr
    found = running.find(Layout(root))
    assert found
    assert started.stdout == "".join(f"{line}\n" for line in found.addresses.lines()) + (
        "Running; `medsr down` ends it.\n"
    )
    yield found
    with suppress(ProcessLookupError):
        os.kill(found.holder.pid, signal.SIGTERM)
    assert eventually(lambda: not alive(found.holder.pid))


def test_it_is_ready_at_free_ports_of_this_machine_alone(root: Path, present: Running) -> None:
    ports = set(present.addresses.ports)
    assert len(ports) == 2 and not ports & {4200, 5000} and all(map(listens, ports))
    connections = [
        one.laddr
        for pid in family(present.holder.pid)
        for one in psutil.Process(pid).net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert ports <= {address.port for address in connections}
    assert {address.ip for address in connections} == {HOST}
    assert os.getsid(present.holder.pid) == present.holder.pid, "a session of its own"
    logs = {path.name for path in Layout(root).logs.iterdir()}
    assert logs == {"up.log", "server.log", "worker.log", "mlflow.log"}
    assert not list(Layout(root).mlruns.glob("*.log"))
    assert Layout(root).log("up").read_text().endswith("Running; Ctrl-C ends it.\n")


def test_status_shows_that_all_answers_and_who_is_at_work(root: Path, present: Running) -> None:
    with project_lock.hold(Layout(root).run_lock, "medsr run"):
        answer = medsr(root, "status", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = json.loads(answer.stdout)
    assert [one["state"] for one in told["services"]] == ["answers"] * 3
    assert [one["address"] for one in told["services"]] == [
        present.addresses.prefect,
        "work pool medsr",
        present.addresses.mlflow,
    ]
    assert (told["up"]["pid"], told["at_work"]["pid"]) == (present.holder.pid, os.getpid())
    assert {one["deployment"] for one in told["deployments"]} >= {"pipeline/weekly-training", "monitoring/monitoring"}
    table = medsr(root, "status").stdout
    assert f"Prefect server  answers  {present.addresses.prefect}" in table and "pipeline/weekly-training" in table


def test_a_second_one_names_the_first(root: Path, present: Running) -> None:
    with pytest.raises(StepError, match=f"found process {present.holder.pid} on "):
        detached.start(root, None, None, "", print)
    second = medsr(root, "up")
    assert second.returncode == 1
    assert f"process {present.holder.pid} on {socket.gethostname()} (`medsr up`, since 20" in second.stderr
    assert all(f"{line}." in second.stderr for line in present.addresses.lines())
    assert "`medsr down` ends it" in second.stderr


def test_another_project_needs_another_database(tmp_path: Path, root: Path, present: Running) -> None:
    other = make(tmp_path)
    refused = medsr(other, "up", PREFECT_HOME=with_home(root)["PREFECT_HOME"])
    assert refused.returncode == 1
    assert "expected Prefect's database for this project alone" in refused.stderr
    assert f"medsr up in {root}" in refused.stderr and "set PREFECT_HOME" in refused.stderr


def test_down_leaves_no_process_and_no_open_port(root: Path, present: Running) -> None:
    processes = family(present.holder.pid)
    assert len(processes) > 4
    ended = medsr(root, "down")
    assert (ended.returncode, ended.stdout) == (0, "Ended.\n"), ended.stderr
    assert gone(processes, present.addresses.ports)
    assert Layout(root).log("up").read_text().endswith("Ended.\n")
    assert medsr(root, "down").stdout == "Nothing runs here.\n"
    assert medsr(root, "status").returncode == 1


def test_started_again_with_postgresql_it_takes_all_that_it_started_with_it_when_it_is_killed(root: Path) -> None:
    ports = (free_port(), free_port())
    arguments = ("up", "-d", "--port", str(ports[0]), "--mlflow-port", str(ports[1]))
    with postgresql.served() as database:
        started = medsr(root, *arguments, PREFECT_API_DATABASE_CONNECTION_URL=database)
        assert started.returncode == 0, started.stderr
        assert {"weekly-training", "monitoring"} <= asyncio.run(names_of_deployments(database))
        found = running.find(Layout(root))
        assert found and found.addresses.ports == ports
        processes = family(found.holder.pid)
        os.kill(found.holder.pid, signal.SIGKILL)
        assert eventually(lambda: gone(processes, ports))
    assert running.find(Layout(root)) is None


async def names_of_deployments(database: str) -> set[str]:
    import asyncpg  # type: ignore[import-untyped]

    connection = await asyncpg.connect(database.replace("+asyncpg", ""))
    try:
        return {row["name"] for row in await connection.fetch("select name from deployment")}
    finally:
        await connection.close()


def test_a_server_that_does_not_answer_in_time_is_a_failure_with_its_last_lines(tmp_path: Path) -> None:
    root = make(tmp_path)
    impatient(root / "flows" / "up.py", "START_S = 180.0", "START_S = 20.0")
    nowhere = f"sqlite+aiosqlite:///{tmp_path}/absent/prefect.db"
    failed = medsr(root, "up", "--detach", PREFECT_SERVER_DATABASE_CONNECTION_URL=nowhere)
    assert failed.returncode == 1 and failed.stdout == ""
    assert "expected it to run, it ended with exit code 1. The last lines of " in failed.stderr
    assert "Prefect's server: expected an answer within 20 s, there is none. The last lines of " in failed.stderr
    assert f"{Path('mlruns/logs/server.log')}:" in failed.stderr and "unable to open database file" in failed.stderr
    assert running.find(Layout(root)) is None


def test_one_on_another_host_is_left_to_that_host(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with project_lock.hold(layout.up_lock, "medsr up"):
        named = json.loads(layout.up_lock.read_text())
        layout.up_lock.write_text(json.dumps(named | {"host": "ward-7"}))
        with pytest.raises(StepError, match="Run `medsr down` on ward-7"):
            down.run(tmp_path, print)


def test_one_that_does_not_end_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(down, "END_S", 0.5)
    script = (
        "import signal, sys, time; from pathlib import Path; from flows import project_lock\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "with project_lock.hold(Path(sys.argv[1]), 'medsr up'):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(Layout(tmp_path).up_lock)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "held\n"
            with pytest.raises(StepError, match=rf"expected process {process.pid} on .* to end within 0 s, found it"):
                down.run(tmp_path, print)
        finally:
            process.kill()
