"""Starts `medsr up` in the background: `medsr up --detach`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from components.handover import Layout, StepError
from flows import running
from flows.kept import last_lines

LOOK_S = 0.5
SHOWN_LINES = 30  # its own, and those of another log in them


def start(root: Path, port: int | None, mlflow_port: int | None, notify: str, say: Callable[[str], None]) -> int:
    """Starts `medsr up` in a session of its own, waits until it is ready, and gives an exit code.

    Its output goes to `mlruns/logs/up.log`. Raises `StepError` where the project has a `medsr up` already, and with the
    last lines where it ended before it was ready.
    """
    layout = Layout(root)
    if present := running.find(layout):
        raise running.already(present.holder)
    command = [sys.executable, "-m", "flows.cli", "up"]
    for name, value in (("--port", port), ("--mlflow-port", mlflow_port), ("--notify", notify)):
        command += [name, str(value)] if value else []
    log = layout.log("up")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as lines:
        process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C and the end of this terminal do not reach it
        )
    try:
        return _until_ready(layout, process, say)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def _until_ready(layout: Layout, process: subprocess.Popen[bytes], say: Callable[[str], None]) -> int:
    while process.poll() is None:
        present = running.find(layout)
        if present and present.holder.pid == process.pid and present.addresses.ready:
            for line in (*present.addresses.lines(), "Running; `medsr down` ends it."):
                say(line)
            return 0
        time.sleep(LOOK_S)
    lines = last_lines(layout.log("up"), SHOWN_LINES)
    raise StepError(f"`medsr up`: expected it to run, it ended with exit code {process.returncode}. {lines}")
