"""Images on their way through the service, on disk: each is a folder, and the folder it lies in says how far it is.

    incoming → waiting → made ⇄ stored → sent    at a destination; stored while it has not promised to keep it
                  │  └────┼───────┼────→ kept    to be fetched, where there is none
                  └───────┴───────┴────→ quarantine

A step is one rename, so that a kill at any moment leaves each image at one place, whole. Names are digests: no path
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

JOB, REASON, TRIES, ABOUT = "job.json", "reason.txt", "tries", "about.json"
INCOMING, WAITING, MADE, STORED, SENT = "incoming", "waiting", "made", "stored", "sent"
KEPT, QUARANTINE = "kept", "quarantine"
HELD = (WAITING, MADE, STORED, SENT, KEPT, QUARANTINE)
CHUNK = 2**20


class DiskFull(StepError):
    """There is less room than is to be kept free."""


@dataclass(frozen=True)
class Job:
    """What is known of an image besides itself."""

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
        """The name of what is made of it."""
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
        """Where what is still arriving may be written, on the same file system."""
        return self._root / INCOMING

    @contextmanager
    def opened(self) -> Iterator[None]:
        """For the length of the block this process alone works on it; what had not arrived whole is gone.

        Raises `StepError` where another process does.
        """
        with (self._root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StepError(f"{self._root}: expected nobody at work on it, another service is. End it.") from error
            half_made = (self._root / WAITING).glob("*/.*")
            for left in (*self.incoming.iterdir(), *half_made):
                _remove(left)
            yield

    def check_room(self) -> None:
        """Raises `DiskFull` where nothing more is taken."""
        free = shutil.disk_usage(self._root).free
        if free < self._keep_free:
            raise DiskFull(f"{self._root}: expected {self._keep_free} bytes free, found {free}. Make room.")

    def take(self, source: Path, destination: str, calling: str, suffix: str = ".dcm") -> tuple[str, bool]:
        """Keeps a copy of the file `source`, safe on disk when this returns; its key, and whether it is new.

        The same bytes for the same destination, or from the same sender where there is none, are the same image: what
        is sent again is not done again. Raises `DiskFull`.
        """
        self.check_room()
        key = _key(source, destination or f"\0{calling}")
        if found := self.where(key):
            _sync(self._root / found)  # who brought it first may not have come so far
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
                new = not self.where(key)
                if new:
                    folder.rename(self._root / WAITING / key)
        finally:
            _remove(folder)
        _sync(self._root / WAITING)
        return key, new

    def where(self, key: str) -> str:
        """How far the image is, or nothing."""
        return next((name for name in HELD if (self._root / name / key).is_dir()), "")

    def listed(self, name: str) -> list[Job]:
        """What is in `name`, the longest held first."""
        jobs = []
        for folder in (self._root / name).iterdir():
            with suppress(FileNotFoundError):  # it was dropped meanwhile
                jobs.append(_job(folder))
        return sorted(jobs, key=lambda job: (job.received_at, job.key))

    def job(self, key: str) -> tuple[str, Job] | None:
        """How far the image is, and what is known of it; nothing where it is not here, or not any more."""
        for _ in HELD:  # each step is one rename, so a second look finds what moved during the first
            name = self.where(key)
            with suppress(FileNotFoundError):
                if name:
                    return name, _job(self.folder(name, key))
        return None

    def folder(self, name: str, key: str) -> Path:
        """Of an image in `name`."""
        return self._root / name / key

    def tried(self, key: str) -> int:
        """How often work on it had begun before; one more from now on, whatever becomes of the process."""
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
        """As if work on it had never begun."""
        (self.folder(WAITING, key) / TRIES).unlink(missing_ok=True)

    def made(self, key: str, about: Mapping[str, Any] | None = None) -> None:
        """The derived image lies beside it; `about` tells how it was made."""
        folder = self.folder(WAITING, key)
        _write(folder / ABOUT, json.dumps(about or {}))
        _sync(folder)
        self._move(key, WAITING, MADE if _job(folder).destination else KEPT)

    def write(self, name: str, key: str, note: str, text: str) -> None:
        """The file `note` beside an image in `name` says `text` from now on, after a kill too."""
        folder = self.folder(name, key)
        _write(folder / f"{note}.new", text)
        (folder / f"{note}.new").rename(folder / note)
        _sync(folder)

    def about(self, name: str, key: str) -> dict[str, Any]:
        """How it was made."""
        return dict(json.loads((self.folder(name, key) / ABOUT).read_text(encoding="utf-8")))

    def stored(self, key: str) -> None:
        """It arrived where it may not be kept yet."""
        self._move(key, MADE, STORED)

    def unstored(self, key: str) -> None:
        """It has to be sent again."""
        self._move(key, STORED, MADE)

    def sent(self, key: str, name: str) -> None:
        """What was in `name` arrived for good. That is all that is kept of it."""
        self._move(key, name, SENT)
        for path in self.folder(SENT, key).iterdir():
            if path.name not in (JOB, ABOUT):
                _remove(path)

    def set_aside(self, key: str, name: str, reason: str) -> None:
        """It cannot be made, or not be sent; image and reason are kept, for whom it concerns to look at."""
        _write(self.folder(name, key) / REASON, f"{reason}\n")
        self._move(key, name, QUARANTINE)

    def counts(self) -> dict[str, int]:
        """How many are where at one moment: an image that is moved meanwhile counts once."""
        with self._moving:
            return {name: sum(1 for _ in (self._root / name).iterdir()) for name in HELD}

    def drop(self, name: str, key: str) -> None:
        """Nothing of an image in `name` is left."""
        gone = self.incoming / uuid4().hex
        with self._moving:
            self.folder(name, key).rename(gone)
        _remove(gone)

    def forget(self, older_than_s: float) -> int:
        """Drops what was sent, or kept to be fetched, so long ago; from then on the same image is done again."""
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
        """Drops what stopped arriving so long ago: its sender broke off, or the disk was full."""
        left = [path for path in self.incoming.iterdir() if time.time() - _last_change(path) > older_than_s]
        for path in left:
            _remove(path)
        return len(left)

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
    """In seconds since 1970; now where it went meanwhile, as what arrives does all the time."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _remove(path: Path) -> None:
    """What others remove at the same time is gone as well."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """The file, or the names in the folder."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
