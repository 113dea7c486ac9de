"""Ends what `medsr up` started: `medsr down`."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from components.handover import Layout, StepError
from flows import left_over, mlflow_pages, running
from flows.project_lock import Holder
from flows.running import Running

END_S = 120.0  # worker, MLflow and server end one after the other, each within half a minute
LOOK_S = 0.2


def run(root: Path, say: Callable[[str], None]) -> int:
    """Ends the `medsr up` of this project, waits until it is gone, and gives an exit code.

    Raises `StepError` where it runs on another host, is another user's, or is still there after `END_S`.
    """
    layout = Layout(root)
    present = running.find(layout)
    if present is None:
        ended = left_over.end(root)
        say(f"Ended {ended} processes that an earlier `medsr up` left." if ended else "Nothing runs here.")
        return 0
    _tell_to_end(present.holder)
    deadline = time.monotonic() + END_S
    while left := _left(layout, present):
        if time.monotonic() > deadline:
            raise StepError(f"expected {present.holder} to end within {END_S:.0f} s, found {left}. See {layout.logs}.")
        time.sleep(LOOK_S)
    say("Ended.")
    return 0


def _tell_to_end(holder: Holder) -> None:
    if not holder.pid:
        raise StepError(f"expected to know which process to end, found {holder}. Try again.")
    if holder.host != socket.gethostname():
        raise StepError(f"expected `medsr up` on this host, found {holder}. Run `medsr down` on {holder.host}.")
    try:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(holder.pid, signal.SIGTERM)
    except PermissionError as error:
        raise StepError(f"expected `medsr up` to be yours, found another user's: {holder}.") from error


def _left(layout: Layout, earlier: Running) -> str:
    """What is still there of it, or nothing."""
    present = running.find(layout)
    if (present and present.holder.pid == earlier.holder.pid) or _lives(earlier.holder.pid):
        return "it still there"
    ports = [str(port) for port in earlier.addresses.ports if mlflow_pages.answers(port)]
    return f"something that answers at port {', '.join(ports)}" if ports else ""


def _lives(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be collected by its parent."""
    import psutil  # type: ignore[import-untyped]

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
