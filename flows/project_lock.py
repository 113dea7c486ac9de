"""A lock on a file that names its holder. The kernel frees it when the holder's process ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.handover import StepError

POLL_S = 1.0
NAMED_WITHIN_S = 1.0  # between taking a lock and naming oneself


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    host: str
    command: str
    since: str  # UTC, ISO 8601
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.pid:
            return "a process that does not say which it is"
        return f"process {self.pid} on {self.host} (`{self.command}`, since {self.since})"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def exists(self) -> bool:
        """Whether the process exists. One on another host is taken to."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            return True
        return True


UNNAMED = Holder(pid=0, host="", command="", since="")


class Held(StepError):
    """Another process holds the lock."""

    def __init__(self, path: Path, holder: Holder) -> None:
        super().__init__(f"{path}: expected nobody to hold this lock, found {holder}. Wait for it, or end it.")
        self.holder = holder


class Lock:
    """A lock that this process holds."""

    def __init__(self, descriptor: int, holder: Holder) -> None:
        self._descriptor, self._holder = descriptor, holder

    def tell(self, details: Mapping[str, Any]) -> None:
        """Writes the holder, with `details` in place of earlier ones, into the file. A full disk is no error."""
        named = replace(self._holder, details=dict(details))
        with suppress(OSError):  # the lock itself needs no room; who asks hears of a process without a name
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(named.as_dict()).encode(), 0)


@contextmanager
def hold(path: Path, what: str, details: Mapping[str, Any] | None = None) -> Iterator[Lock]:
    """Holds the lock at `path` for the length of the block; `what` is the command that others are told.

    Raises `Held` where another process has it.
    """
    with _opened(path) as descriptor:
        if other := _take(descriptor, path):
            raise Held(path, other)
        with _named(descriptor, what, details or {}) as lock:
            yield lock


@contextmanager
def hold_in_turn(
    path: Path, what: str, say: Callable[[str], None], details: Mapping[str, Any] | None = None
) -> Iterator[Lock]:
    """Holds the lock at `path` for the length of the block, after waiting for whoever has it.

    `say` gets one sentence for each holder that is waited for.
    """
    with _opened(path) as descriptor:
        told = None
        while other := _take(descriptor, path):
            if other.pid != told:
                say(f"Waiting for {other} to end.")
                told = other.pid
            time.sleep(POLL_S)
        with _named(descriptor, what, details or {}) as lock:
            yield lock


def holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now. What a dead process left in the file is not believed."""
    deadline = time.monotonic() + NAMED_WITHIN_S
    while True:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except FileNotFoundError:
            return None
        except BlockingIOError:
            named = _read(path)
        if named and named.exists():
            return named
        if time.monotonic() > deadline:
            return UNNAMED
        time.sleep(0.02)  # it has the lock and writes its name next


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> Holder | None:
    """Takes the lock, or gives who has it."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            if other := holder(path):
                return other
            # freed meanwhile, or only asked about: `holder` locks the file for an instant


@contextmanager
def _named(descriptor: int, what: str, details: Mapping[str, Any]) -> Iterator[Lock]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    lock = Lock(descriptor, Holder(pid=os.getpid(), host=socket.gethostname(), command=what, since=now))
    lock.tell(details)
    try:
        yield lock
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # its holder writes it just now
        return None
