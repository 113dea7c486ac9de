"""MLflow's pages, for this machine alone."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import webbrowser
from urllib.parse import urlsplit

from components.adapters import tracking
from components.handover import Layout, StepError
from components.handover.names import DATABASE
from flows import process_group

HOST = "127.0.0.1"
MLFLOW_PAGES = "MEDSR_MLFLOW_PAGES"  # the variable by which `medsr up` tells its runs where it shows these pages
START_S = 120.0  # a cold start takes half a minute on two cores


def show(layout: Layout, port: int, browser: bool) -> int:
    """Serves MLflow's pages until interrupted, and gives an exit code.

    Where `MLFLOW_TRACKING_URI` points at a server, its pages are shown instead.
    """
    if address := external_address():
        _open(address, browser)
        return 0
    _check(layout, port)
    ended = threading.Event()
    threading.Thread(target=_open_when_up, args=(ended, port, browser), daemon=True).start()
    variables = os.environ | environment(layout)
    try:
        return process_group.run(command(port), layout.root, variables, print, threading.Event())
    except KeyboardInterrupt:
        return 0
    finally:
        ended.set()


def external_address() -> str:
    """The address of the server that `MLFLOW_TRACKING_URI` points at, without a password; empty where it does not."""
    address = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if address.scheme not in ("http", "https"):
        return ""
    return address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()


def command(port: int) -> list[str]:
    """The command that serves the pages, with one worker (four take 1.9 GB) and MLflow's check of the Host header."""
    return [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]


def environment(layout: Layout) -> dict[str, str]:
    """The variables of `command`. The database stands here because everybody on a machine can read commands.

    Jobs are off: they would start seven more processes for features that are not used here.
    """
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(layout.mlruns / DATABASE).resolve()}"
    jobs = os.environ.get("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    return tracking.PRIVACY | {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": jobs}


def _check(layout: Layout, port: int) -> None:
    database = layout.mlruns / DATABASE
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database.is_file():
        raise StepError(f"{database}: expected MLflow's database, found none. Run `make pipeline` first.")
    if answers(port):
        raise StepError(f"port {port}: expected it free, something answers there. Choose another with --port.")


def _open_when_up(ended: threading.Event, port: int, browser: bool) -> None:
    deadline = time.monotonic() + START_S
    while not ended.wait(0.5) and time.monotonic() < deadline:
        if answers(port):
            _open(f"http://{HOST}:{port}", browser)
            return


def _open(address: str, browser: bool) -> None:
    print(f"MLflow: {address}", flush=True)
    if browser:
        webbrowser.open(address)


def answers(port: int) -> bool:
    """Whether something listens on `port` of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
