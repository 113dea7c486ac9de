"""Starts everything on one machine: server, worker, MLflow's pages and deployments. `medsr up`."""

from __future__ import annotations

import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from components.adapters import tracking
from components.handover import Layout, StepError
from flows import deployments, mlflow_pages
from flows.forgiving import Forgiving
from flows.kept import Kept, Service
from flows.prefect_server import configure

START_S = 180.0
SERVER = {
    # in memory, its default, a server that is killed never gives back the slots of runs that were killed with it
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # its default keeps every run, with its lines and artifacts, for ever
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * 86400),  # seconds
}


def run(root: Path, port: int, mlflow_port: int, notify: str, say: Callable[[str], None]) -> int:
    """Keeps all programs running until Ctrl-C or SIGTERM, then ends them and gives an exit code.

    `notify` names a notification block, or none. A program that ends is started again, after a pause that doubles up
    to a minute. MLflow is not started where `MLFLOW_TRACKING_URI` points at a server. Raises `StepError` where
    Prefect's server does not start or the deployments cannot be registered.
    """
    say, layout, external_mlflow = Forgiving(say), Layout(root), mlflow_pages.external_address()
    for taken in filter(mlflow_pages.answers, (port,) if external_mlflow else (port, mlflow_port)):
        raise StepError(f"port {taken}: expected it free, something answers there. Choose another.")
    configure()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = f"http://{mlflow_pages.HOST}:{port}/api"
    settings = SERVER | deployments.environment(root, server)
    layout.mlruns.mkdir(parents=True, exist_ok=True)
    try:
        tracking.initialise(layout)
    except tracking.Unreachable as error:
        say(str(error))
    services = Kept(layout.mlruns, root, settings, say)
    try:
        services.start(Service("server", _prefect("server", "start", "--host", mlflow_pages.HOST, "--port", str(port))))
        _wait(f"{server}/health", stop)
        if not stop.is_set():
            deployments.register(root, server, notify)
            for line in deployments.not_described(root, server):
                say(line)
            worker = _prefect("worker", "start", "--pool", deployments.POOL, "--name", "medsr-up")
            services.start(Service("worker", worker))
            if not external_mlflow:
                pages = tuple(mlflow_pages.command(mlflow_port))
                services.start(Service("mlflow", pages, mlflow_pages.environment(layout)))
            say(f"Prefect: http://{mlflow_pages.HOST}:{port}")
            say(f"MLflow: {external_mlflow or f'http://{mlflow_pages.HOST}:{mlflow_port}'}")
            say("Running; Ctrl-C ends it.")
            stop.wait()
    finally:
        stop.set()
        services.join()
    say("Ended.")
    return 0


def _prefect(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "prefect", *arguments)


def _wait(address: str, stop: threading.Event) -> None:
    deadline = time.monotonic() + START_S
    while not stop.is_set():
        if _answers(address):
            return
        if time.monotonic() > deadline:
            raise StepError(f"{address}: expected Prefect's server within {START_S:.0f} s, nothing answers there.")
        stop.wait(0.5)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
