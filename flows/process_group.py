"""Runs a command as a process group of its own, which ends with the process that started it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from flows.forgiving import Forgiving

GRACE_S = 5.0  # between asking a group to end and ending it
POLL_S = 0.1

# A guard in the command's own group reads a pipe that only the starter holds. The kernel closes it when the starter
# dies, `kill -9` included; the guard then ends the group. A death signal on the child alone would miss grandchildren.
_GUARDED = """
exec 3<&0 </dev/null
( trap '' TERM INT HUP; cat <&3; kill -TERM 0; sleep "$0"; kill -KILL 0 ) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""


class Cancelled(Exception):
    """The command was ended because `stop` was set."""


class TookTooLong(Exception):
    """The command was ended because its time was up."""


def run(
    command: Sequence[str],
    root: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    stop: threading.Event,
    grace_s: float = GRACE_S,
    timeout_s: float = math.inf,
) -> int:
    """Runs `command`, passes each line of both its streams to `on_line`, and gives its exit code.

    A line for which `on_line` raises `OSError` (a full disk) is left out; see `Forgiving`. Raises `Cancelled` once
    `stop` is set, `TookTooLong` after `timeout_s`. The whole group is gone afterwards: the command and all that it
    started.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GUARDED, str(grace_s), *command],
        cwd=root,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    reader = threading.Thread(target=_forward, args=(process.stdout, on_line), daemon=True)
    deadline = time.monotonic() + timeout_s
    try:
        reader.start()
        while process.poll() is None:
            if stop.wait(POLL_S):
                raise Cancelled(" ".join(command))
            if time.monotonic() > deadline:
                raise TookTooLong(" ".join(command))
        return process.returncode
    finally:
        _end(process, reader, grace_s)


def _forward(stream: IO[str], on_line: Callable[[str], None]) -> None:
    write = Forgiving(on_line)
    try:
        for line in stream:
            write(line.rstrip("\n"))
    finally:
        for _ in stream:  # whatever became of `on_line`: who writes to a full pipe waits for ever
            pass


def _end(process: subprocess.Popen[str], reader: threading.Thread, grace_s: float) -> None:
    """Ends the group: at once where its leader has ended, else after up to `grace_s` to end by itself."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        _join(reader, grace_s)  # the stream closes when the last of them is gone
    _signal(process, signal.SIGKILL)
    process.wait()
    _join(reader, grace_s)
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


def _join(reader: threading.Thread, seconds: float) -> None:
    if reader.ident:  # else the machine had no room for it
        reader.join(seconds)


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    # the guard keeps the group, and so its number, alive until this very signal
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
