"""The spool as HTTP callers see it: every image belongs to the token that brought it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.serving.settings import Serving
from components.serving.spool import KEPT, MADE, QUARANTINE, REASON, SENT, STORED, Job, Spool

HTTP = "http:"  # before the name of the token that brought an image
State = Literal["waiting", "working", "delivering", "delivered", "ready", "failed"]
STATES: dict[str, State] = {
    MADE: "delivering",
    STORED: "delivering",
    SENT: "delivered",
    KEPT: "ready",
    QUARANTINE: "failed",
}
PREFIX_AT = 128  # bytes of preamble before DICOM says what it is


@dataclass(frozen=True)
class Held:
    """An image of a caller, with its state and folder."""

    state: State
    job: Job
    folder: Path


@dataclass(frozen=True)
class Desk:
    """`arrived` is called after each image. `frames` gives how many frames of an image at work are done, of how many.

    `withdraw` drops a waiting image, and gives whether it was still waiting.
    """

    settings: Serving
    spool: Spool
    arrived: Callable[[], None]
    frames: Callable[[str], tuple[int, int] | None]
    withdraw: Callable[[str], bool]

    @property
    def file_bytes(self) -> int:
        """The largest size of a file."""
        return int(self.settings.limits.file_mib * 2**20)

    def take(self, path: Path, destination: str, caller: str, suffix: str) -> str:
        """Stores the image in `path` in the spool and gives its key. Raises `DiskFull`."""
        key, _ = self.spool.take(path, destination, HTTP + caller, suffix)
        self.arrived()
        return key

    def find(self, key: str, caller: str) -> Held | None:
        """The caller's image `key`, or `None` where there is none or it belongs to another caller."""
        located = self.spool.job(key)
        if located is None or located[1].calling != HTTP + caller:
            return None
        name, job = located
        state = STATES.get(name) or ("working" if self.frames(key) else "waiting")
        return Held(state, job, self.spool.folder(name, key))

    def reason(self, held: Held) -> str:
        """Why the image failed; empty where it did not."""
        return (held.folder / REASON).read_text(encoding="utf-8").strip() if held.state == "failed" else ""

    def details(self, held: Held) -> dict[str, Any]:
        """Model, version and times of a sharpened image; empty before it is sharpened."""
        is_made = held.state in ("delivering", "delivered", "ready")
        return self.spool.details(held.folder.parent.name, held.job.key) if is_made else {}

    def drop(self, held: Held) -> bool:
        """Removes the image. Gives `False` where it is still needed."""
        if held.state == "waiting":
            return self.withdraw(held.job.key)
        name = {"ready": KEPT, "failed": QUARANTINE}.get(held.state)
        with suppress(FileNotFoundError):  # somebody else removed it
            if name:
                self.spool.drop(name, held.job.key)
        return name is not None


def suffix_of(path: Path, says_dicom: bool) -> str | None:
    """The suffix for the file's format, by its first bytes; `None` where the service does not take it.

    A DICOM file without a preamble is known only by `says_dicom`.
    """
    with path.open("rb") as handle:
        head = handle.read(PREFIX_AT + 4)
    if head[PREFIX_AT:] == b"DICM":
        return ".dcm"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    if head.startswith((b"II*\0", b"MM\0*")):
        return ".tif"
    return ".dcm" if says_dicom else None
