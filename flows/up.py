"""Starts everything on one machine: server, worker, MLflow's pages and deployments. `medsr up`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from components.adapters import tracking
from components.handover import Layout, StepError
from flows import deployments, health, left_over, mlflow_pages, project_lock, running
from flows.forgiving import Forgiving
from flows.kept import Kept, Service, last_lines
from flows.prefect_server import configure
from flows.running import Addresses

HOST = mlflow_pages.HOST
PORT, MLFLOW_PORT = 4200, 5000  # where they are free and no other is given
START_S = 180.0
LOOK_S = 0.5
SERVER = {
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",  # its log says why it does not start
    # in memory, its default, a server that is killed never gives back the slots of runs that were killed with it
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # its default keeps every run, with its lines and artifacts, for ever
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * 86400),  # seconds
}
DATABASES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")


def run(root: Path, port: int | None, mlflow_port: int | None, notify: str, say: Callable[[str], None]) -> int:
    """Keeps all programs running until Ctrl-C or SIGTERM, then ends them and gives an exit code.

    A port that is not given is 4200 or 5000, or another where that is taken. `notify` names a notification block, or
    none. A program that ends is started again, after a pause that doubles up to a minute. MLflow is not started where
    `MLFLOW_TRACKING_URI` points at a server. Raises `StepError` where the project has a `medsr up` already, where
    another project's uses the same database of Prefect, where a given port is taken, where a program does not answer
    within `START_S`, and where the deployments cannot be registered.
    """
    say, layout, stop = Forgiving(say), Layout(root), threading.Event()
    with _alone(layout) as lock:
        addresses = choose_addresses(port, mlflow_port, mlflow_pages.external_address())
        lock.tell(addresses.as_dict())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        settings = {name: os.environ.get(name, value) for name, value in SERVER.items()}
        settings[mlflow_pages.MLFLOW_PAGES] = addresses.mlflow
        configure()
        try:
            tracking.initialise(layout)
        except tracking.Unreachable as error:
            say(str(error))
        layout.logs.mkdir(parents=True, exist_ok=True)
        environment = deployments.environment(root, addresses.api) | settings | left_over.mark(root)
        services = Kept(layout.logs, root, environment, say)
        left_over.end(root)
        try:
            _start(services, root, addresses, notify, stop, say)
            if not stop.is_set():
                lock.tell(replace(addresses, ready=True).as_dict())
                for line in (*addresses.lines(), "Running; Ctrl-C ends it."):
                    say(line)
                stop.wait()
        finally:
            stop.set()
            services.join()
            left_over.end(root)
    say("Ended.")
    return 0


@contextmanager
def _alone(layout: Layout) -> Iterator[project_lock.Lock]:
    """Holds the project, and Prefect's database where that is the user's default one."""
    with ExitStack() as locks:
        try:
            lock = locks.enter_context(project_lock.hold(layout.up_lock, "medsr up"))
        except project_lock.Held as error:
            raise running.already(error.holder) from error
        if not any(map(os.environ.get, DATABASES)):
            home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
            what = f"medsr up in {layout.root.resolve()}"
            try:
                locks.enter_context(project_lock.hold(home / "medsr-up.lock", what))
            except project_lock.Held as error:
                raise StepError(
                    f"{home}: expected Prefect's database for this project alone, found {error.holder}. "
                    "End that one, or set PREFECT_HOME to another folder for one of them."
                ) from error
        yield lock


def choose_addresses(port: int | None, mlflow_port: int | None, external_mlflow: str) -> Addresses:
    """Ports of this machine at which nothing answers yet. Raises `StepError` where something does at a given one."""
    if port is not None and port == mlflow_port and not external_mlflow:
        raise StepError(f"port {port}: expected two different ports for Prefect and MLflow. Choose another.")
    prefect = _port(port, PORT, mlflow_port)
    address = f"http://{HOST}:{prefect}"
    if external_mlflow:
        return Addresses(prefect=address, mlflow=external_mlflow, ports=(prefect,))
    mlflow = _port(mlflow_port, MLFLOW_PORT, prefect)
    return Addresses(prefect=address, mlflow=f"http://{HOST}:{mlflow}", ports=(prefect, mlflow))


def _port(given: int | None, preferred: int, not_this: int | None) -> int:
    if given is not None:
        if mlflow_pages.answers(given):
            raise StepError(f"port {given}: expected it free, something answers there. Choose another.")
        return given
    port = preferred
    while port == not_this or mlflow_pages.answers(port):
        with socket.create_server((HOST, 0)) as listener:
            port = int(listener.getsockname()[1])
    return port


def _start(
    services: Kept, root: Path, addresses: Addresses, notify: str, stop: threading.Event, say: Callable[[str], None]
) -> None:
    """Starts one program after the other, until each has answered or `stop` is set."""
    layout, (port, *mlflow_ports) = Layout(root), addresses.ports
    services.start(Service("server", _prefect("server", "start", "--host", HOST, "--port", str(port))))
    for mlflow_port in mlflow_ports:  # beside Prefect's server: both take half a minute on a busy machine
        pages = tuple(mlflow_pages.command(mlflow_port))
        services.start(Service("mlflow", pages, mlflow_pages.environment(layout)))
    _wait(lambda: health.answers(f"{addresses.api}/health"), "Prefect's server", layout.log("server"), stop)
    if stop.is_set():
        return
    for line in deployments.register(root, addresses.api, notify):
        if deployments.REMOVED in line:
            say(line)
    began = datetime.now(UTC)
    services.start(Service("worker", _prefect("worker", "start", "--pool", deployments.POOL, "--name", "medsr-up")))
    _wait(
        lambda: health.worker_answers(addresses.api, deployments.POOL, began), "the worker", layout.log("worker"), stop
    )
    if mlflow_ports:
        _wait(lambda: health.answers(f"{addresses.mlflow}/health"), "MLflow", layout.log("mlflow"), stop)


def _prefect(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "prefect", *arguments)


def _wait(answers: Callable[[], bool], what: str, log: Path, stop: threading.Event) -> None:
    """Waits until it answers or `stop` is set. Raises `StepError`, with the last lines of `log`, after `START_S`."""
    deadline = time.monotonic() + START_S
    while not stop.is_set() and not answers():
        if time.monotonic() > deadline:
            raise StepError(f"{what}: expected an answer within {START_S:.0f} s, there is none. {last_lines(log)}")
        stop.wait(LOOK_S)
