"""MLflow's pages, for this machine alone."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import webbrowser

from components.handover import Layout, StepError
from flows import process_group

HOST = "127.0.0.1"
START_S = 120.0  # a cold start takes half a minute on two cores
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else seven more processes, for features not used here


def show(layout: Layout, port: int, browser: bool) -> int:
    """Serves the pages until interrupted; gives an exit code.

    Where `MLFLOW_TRACKING_URI` points at a server, that one's pages are shown instead.
    """
    remote = os.environ.get("MLFLOW_TRACKING_URI", "")
    if remote.startswith(("http://", "https://")):
        _open(remote, browser)
        return 0
    _check(layout, port)
    ended = threading.Event()
    threading.Thread(target=_open_when_up, args=(ended, port, browser), daemon=True).start()
    try:
        return process_group.run(command(layout, port), layout.root, NO_JOBS | os.environ, print, threading.Event())
    except KeyboardInterrupt:
        return 0
    finally:
        ended.set()


def command(layout: Layout, port: int) -> list[str]:
    """What serves the pages: one worker (four take 1.9 GB), and MLflow's own check of the Host header left on."""
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(layout.mlruns / 'mlflow.db').resolve()}"
    options = ["--host", HOST, "--port", str(port), "--workers", "1", "--backend-store-uri", store]
    return [sys.executable, "-m", "mlflow", "ui", *options]


def _check(layout: Layout, port: int) -> None:
    database = layout.mlruns / "mlflow.db"
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database.is_file():
        raise StepError(f"{database}: expected MLflow's database, found none. Run `make pipeline` first.")
    if _answers(port):
        raise StepError(f"port {port}: expected it free, something answers there. Choose another with --port.")


def _open_when_up(ended: threading.Event, port: int, browser: bool) -> None:
    until = time.monotonic() + START_S
    while not ended.wait(0.5) and time.monotonic() < until:
        if _answers(port):
            _open(f"http://{HOST}:{port}", browser)
            return


def _open(address: str, browser: bool) -> None:
    print(f"MLflow: {address}", flush=True)
    if browser:
        webbrowser.open(address)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
