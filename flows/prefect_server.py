"""Prepares Prefect for a run: its settings, and a server of its own where none is configured."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from components.handover import StepError

OUTAGE_S = 600.0  # how long the end of a run waits for a server that went away
LOOK_S = 2.0

DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s, its own, is too short on two busy cores
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",  # in the word that MLflow, too, understands; nothing calls home from a hospital
    # a stage's failure is told once, by us
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}
VERBOSE = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "ERROR",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}

# ends the server when this process is gone without having done so: the pipe's other end closes with it
_GUARD = """trap '' INT TERM HUP; read -r pid && { read -r done || kill "$pid"; }"""


def configure(verbose: bool = False) -> None:
    """Sets the variables that Prefect reads at its import, unless the user has. Call it before that import."""
    for name, value in (DEFAULTS | (VERBOSE if verbose else {})).items():
        os.environ.setdefault(name, value)


def start() -> bool:
    """Makes sure that a Prefect server runs. Gives whether it is this process's own.

    Without `PREFECT_API_URL` it starts the embedded one, which ends with this process, after `kill -9` too. Raises
    `StepError` where no server answers or starts.
    """
    from prefect.settings import PREFECT_API_URL

    if address := PREFECT_API_URL.value():
        if not answers():
            raise StepError(
                f"{address}: expected Prefect's server, nothing answers there. Start it, or unset PREFECT_API_URL: "
                "then the run brings its own."
            )
        return False
    from prefect.server.api.server import SubprocessASGIServer

    guard = subprocess.Popen(["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, text=True, start_new_session=True)
    # Prefect sends its last logs, then stops the server, at exit; what is registered before that comes after it
    atexit.register(guard.communicate, "done\n")
    # Ctrl-C reaches every process of the terminal; the server must outlive it to hear how the run ended. A signal
    # that is blocked stays so in a child
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    embedded = SubprocessASGIServer()
    try:
        embedded.start()
    except RuntimeError as error:
        raise StepError(
            f"Prefect's own server did not start: {error} Try again, or set PREFECT_API_URL to a server that runs."
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if embedded.server_process and guard.stdin:
        guard.stdin.write(f"{embedded.server_process.pid}\n")
        guard.stdin.flush()
    return True


def answers() -> bool:
    """Whether Prefect's server takes requests now."""
    from prefect.client.orchestration import get_client

    # settings of its own make this another client than the run's, which tries for a minute before it says no
    with get_client(sync_client=True, httpx_settings={"timeout": 5.0}) as client:
        return client.api_healthcheck() is None


def answers_within(seconds: float, stop: threading.Event, say: Callable[[str], None]) -> bool:
    """Whether Prefect's server takes requests. Waits up to `seconds` for one that went away, with a message."""
    deadline = time.monotonic() + seconds
    answering = answers()
    if not answering and seconds:
        say(f"Prefect's server does not answer; waiting up to {seconds / 60:.0f} min to record there how the run ended")
    while not answering and time.monotonic() < deadline and not stop.wait(LOOK_S):
        answering = answers()
    return answering


def forget() -> None:
    """Drops events and logs for a server that did not come back: each event would delay the exit by 7 s."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (EventsWorker.instance(), APILogWorker.instance()):
        with worker._queue.mutex:
            worker._queue.queue.clear()
