"""Images on their way through the service. Each image is a folder on disk, and its parent folder is its state.

    incoming → waiting → made ⇄ stored → sent    at a destination; stored while it has not promised to keep it
                  │  └────┼───────┼────→ kept    to be fetched, where there is none
                  └───────┴───────┴────→ quarantine

A step is one rename: a kill at any moment leaves each image whole and in one state. Names are digests, so that no path
tells whose image it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from components.handover import StepError

JOB, REASON, TRIES, DETAILS = "job.json", "reason.txt", "tries", "about.json"
INCOMING, WAITING, MADE, STORED, SENT = "incoming", "waiting", "made", "stored", "sent"
KEPT, QUARANTINE = "kept", "quarantine"
HELD = (WAITING, MADE, STORED, SENT, KEPT, QUARANTINE)
CHUNK = 2**20


class DiskFull(StepError):
    """The disk has less free space than the settings keep free."""


@dataclass(frozen=True)
class Job:
    """What the service knows of an image besides its pixels."""

    key: str
    destination: str  # a name in the settings; empty where who sent it fetches it
    received_at: float  # seconds since 1970
    calling: str  # who sent it
    suffix: str = ".dcm"  # what kind of file it is

    @property
    def image(self) -> str:
        """The name of the image in the job's folder."""
        return f"image{self.suffix}"

    @property
    def derived(self) -> str:
        """The name of the derived image in the job's folder."""
        return f"derived{self.suffix}"


class Spool:
    """The images in `root`, for one service at a time."""

    def __init__(self, root: Path, keep_free_bytes: int = 0) -> None:
        self._root, self._keep_free = root, keep_free_bytes
        self._moving = threading.Lock()  # an image that comes twice at once is seen by both, wherever it is going
        for name in (INCOMING, *HELD):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def incoming(self) -> Path:
        """The folder for files that are still arriving, on the same file system."""
        return self._root / INCOMING

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Locks the spool for this process for the length of the block. Removes what had not arrived whole.

        Raises `StepError` where another process holds it.
        """
        with (self._root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StepError(f"{self._root}: expected nobody at work on it, another service is. End it.") from error
            half_made = (self._root / WAITING).glob("*/.*")
            for leftover in (*self.incoming.iterdir(), *half_made):
                _remove(leftover)
            yield

    def check_room(self) -> None:
        """Raises `DiskFull` where the spool takes no more images."""
        free = shutil.disk_usage(self._root).free
        if free < self._keep_free:
            raise DiskFull(f"{self._root}: expected {self._keep_free} bytes free, found {free}. Make room.")

    def take(self, source: Path, destination: str, calling: str, suffix: str = ".dcm") -> tuple[str, bool]:
        """Copies the file `source` to disk and gives its key, and whether it is new.

        The same bytes for the same destination are the same image, which is not done again. Without a destination the
        sender counts instead. Raises `DiskFull`.
        """
        self.check_room()
        key = _key(source, destination or f"\0{calling}")
        if state := self.state_of(key):
            _sync(self._root / state)  # who brought it first may not have come so far
            return key, False
        folder = self.incoming / uuid4().hex
        folder.mkdir()
        try:
            job = Job(key, destination, time.time(), calling, suffix)
            _link_or_copy(source, folder / job.image)
            _write(folder / JOB, json.dumps(asdict(job)))
            _sync(folder / job.image)
            _sync(folder)
            with self._moving:
                new = not self.state_of(key)
                if new:
                    folder.rename(self._root / WAITING / key)
        finally:
            _remove(folder)
        _sync(self._root / WAITING)
        return key, new

    def state_of(self, key: str) -> str:
        """The state of the image; empty where the spool has none of this key."""
        return next((name for name in HELD if (self._root / name / key).is_dir()), "")

    def listed(self, name: str) -> list[Job]:
        """The images in state `name`, the longest held first."""
        jobs = []
        for folder in (self._root / name).iterdir():
            with suppress(FileNotFoundError):  # it was dropped meanwhile
                jobs.append(_job(folder))
        return sorted(jobs, key=lambda job: (job.received_at, job.key))

    def job(self, key: str) -> tuple[str, Job] | None:
        """The state of the image and its job, or `None` where the spool has none of this key."""
        for _ in HELD:  # each step is one rename, so a second look finds what moved during the first
            name = self.state_of(key)
            with suppress(FileNotFoundError):
                if name:
                    return name, _job(self.folder(name, key))
        return None

    def folder(self, name: str, key: str) -> Path:
        """The folder of an image in state `name`."""
        return self._root / name / key

    def tried(self, key: str) -> int:
        """How often work on it had begun before. Counts one more on disk, which a kill does not undo."""
        path = self.folder(WAITING, key) / TRIES
        before = path.stat().st_size if path.is_file() else 0
        with path.open("ab") as handle:
            handle.write(b".")
            handle.flush()
            os.fsync(handle.fileno())
        return before

    def was_tried(self, key: str) -> bool:
        """Whether work on it had begun and did not end."""
        return (self.folder(WAITING, key) / TRIES).is_file()

    def not_tried(self, key: str) -> None:
        """Forgets that work on it ever began."""
        (self.folder(WAITING, key) / TRIES).unlink(missing_ok=True)

    def made(self, key: str, details: Mapping[str, Any] | None = None) -> None:
        """Moves on an image whose derived image lies beside it. `details` say how it was made."""
        folder = self.folder(WAITING, key)
        _write(folder / DETAILS, json.dumps(details or {}))
        _sync(folder)
        self._move(key, WAITING, MADE if _job(folder).destination else KEPT)

    def write(self, name: str, key: str, note: str, text: str) -> None:
        """Writes `text` to the file `note` beside an image in state `name`, in one step that a kill cannot split."""
        folder = self.folder(name, key)
        _write(folder / f"{note}.new", text)
        (folder / f"{note}.new").rename(folder / note)
        _sync(folder)

    def details(self, name: str, key: str) -> dict[str, Any]:
        """How it was made."""
        return dict(json.loads((self.folder(name, key) / DETAILS).read_text(encoding="utf-8")))

    def stored(self, key: str) -> None:
        """The destination stored it and has not promised to keep it."""
        self._move(key, MADE, STORED)

    def unstored(self, key: str) -> None:
        """It has to be sent again."""
        self._move(key, STORED, MADE)

    def sent(self, key: str, name: str) -> None:
        """An image in state `name` arrived for good. Only its job and details are kept."""
        self._move(key, name, SENT)
        for path in self.folder(SENT, key).iterdir():
            if path.name not in (JOB, DETAILS):
                _remove(path)

    def set_aside(self, key: str, name: str, reason: str) -> None:
        """Moves an image that cannot be made or sent to quarantine, with its reason."""
        _write(self.folder(name, key) / REASON, f"{reason}\n")
        self._move(key, name, QUARANTINE)

    def counts(self) -> dict[str, int]:
        """How many images each state has. An image that moves meanwhile counts once."""
        with self._moving:
            return {name: sum(1 for _ in (self._root / name).iterdir()) for name in HELD}

    def drop(self, name: str, key: str) -> None:
        """Removes an image in state `name`."""
        gone = self.incoming / uuid4().hex
        with self._moving:
            self.folder(name, key).rename(gone)
        _remove(gone)

    def forget(self, older_than_s: float) -> int:
        """Drops sent, kept and failed images received so long ago, and gives their number. They may then come again."""
        old = [
            (name, job)
            for name in (SENT, KEPT, QUARANTINE)
            for job in self.listed(name)
            if time.time() - job.received_at > older_than_s
            and not (name == QUARANTINE and job.destination)  # who sent that was not told
        ]
        for name, job in old:
            self.drop(name, job.key)
        return len(old)

    def sweep(self, older_than_s: float) -> int:
        """Drops files that stopped arriving so long ago, and gives their number."""
        stale = [path for path in self.incoming.iterdir() if time.time() - _last_change(path) > older_than_s]
        for path in stale:
            _remove(path)
        return len(stale)

    def _move(self, key: str, before: str, after: str) -> None:
        with self._moving:
            self.folder(before, key).rename(self.folder(after, key))
        _sync(self._root / after)


def _key(source: Path, destination: str) -> str:
    digest = hashlib.sha256(destination.encode() + b"\0")
    with source.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:32]


def _job(folder: Path) -> Job:
    return Job(**json.loads((folder / JOB).read_text(encoding="utf-8")))


def _link_or_copy(source: Path, destination: Path) -> None:
    try:
        os.link(source, destination)
    except OSError:  # another file system
        shutil.copyfile(source, destination)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def _last_change(path: Path) -> float:
    """In seconds since 1970. Gives the present time for a file that is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _remove(path: Path) -> None:
    """Removes a file or folder. Another process may remove it at the same time."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Writes the file, or the names in the folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
