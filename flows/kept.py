"""Keeps programs running, each with a log of its own."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from flows import process_group

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
STEADY_S = 60.0  # what ran so long is started again at once
GRACE_S = 30.0  # for a stage to end after it was told to
LOG_BYTES, OLDER_LOGS = 10_000_000, 3  # a service, `server.log.1` the newest of the older ones
SHOWN_LINES, SHOWN_BYTES = 12, 10_000  # of a log, where it explains a failure


@dataclass(frozen=True)
class Service:
    """One program that is kept running."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # of it alone


class Kept:
    """Services in threads of their own. The last one started ends first."""

    def __init__(self, logs: Path, root: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._logs, self._root, self._environment, self._say = logs, root, environment, say
        self._running: list[tuple[threading.Thread, threading.Event]] = []

    def start(self, service: Service) -> None:
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(service, ended), daemon=True)
        self._running.append((thread, ended))
        thread.start()

    def join(self) -> None:
        for thread, ended in reversed(self._running):
            ended.set()
            thread.join()

    def _keep(self, service: Service, ended: threading.Event) -> None:
        """Starts the service again whenever it ends or cannot start, until `ended`."""
        pause_s = FIRST_PAUSE_S
        log, environment = self._logs / f"{service.name}.log", {**self._environment, **service.environment}
        while not ended.is_set():
            began = time.monotonic()
            try:
                with _lines(log) as write:
                    code = process_group.run(service.command, self._root, environment, write, ended, GRACE_S)
                message = f"{service.name} ended, exit code {code}"
            except process_group.Cancelled:
                return
            except (OSError, RuntimeError, MemoryError, subprocess.SubprocessError) as error:
                message = f"{service.name} was not started: {error}"
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > STEADY_S else min(2 * pause_s, LONGEST_PAUSE_S)
            self._say(f"{message}; again in {pause_s:.0f} s. See {log}")
            ended.wait(pause_s)


class _Rotating(RotatingFileHandler):
    """A handler that raises its errors to the caller."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise


@contextmanager
def _lines(path: Path) -> Iterator[Callable[[str], None]]:
    """Appends lines to the file at `path`, which is rotated at `LOG_BYTES`. Raises `OSError` where it cannot write."""
    handler = _Rotating(path, maxBytes=LOG_BYTES, backupCount=OLDER_LOGS, encoding="utf-8", delay=True)
    try:
        yield lambda line: handler.emit(logging.makeLogRecord({"msg": line}))
    finally:
        with suppress(OSError):  # of a disk that is still full; what was said of it stands
            handler.close()


def last_lines(log: Path, count: int = SHOWN_LINES) -> str:
    """The last lines of a log that are not empty, under a sentence that names it."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - SHOWN_BYTES))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    if not lines:
        return f"{log} is empty."
    return f"The last lines of {log}:" + "".join(f"\n  {line}" for line in lines[-count:])
