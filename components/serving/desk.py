"""What comes and goes over HTTP, as the spool has it: every image belongs to the token that brought it."""

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
    """An image of this caller, where it is now."""

    state: State
    job: Job
    folder: Path


@dataclass(frozen=True)
class Desk:
    """`arrived` is called after each image; `frames` tells of one at work how many are done, of how many.

    `withdraw` drops one that waits, and says whether it still did.
    """

    settings: Serving
    spool: Spool
    arrived: Callable[[], None]
    frames: Callable[[str], tuple[int, int] | None]
    withdraw: Callable[[str], bool]

    @property
    def file_bytes(self) -> int:
        """How large a file may be."""
        return int(self.settings.limits.file_mib * 2**20)

    def take(self, path: Path, destination: str, caller: str, suffix: str) -> str:
        """The key of the image in `path`, which is safe in the spool now. Raises `DiskFull`."""
        key, _ = self.spool.take(path, destination, HTTP + caller, suffix)
        self.arrived()
        return key

    def find(self, key: str, caller: str) -> Held | None:
        """Nothing where there is no such image, or it is somebody else's."""
        found = self.spool.job(key)
        if found is None or found[1].calling != HTTP + caller:
            return None
        name, job = found
        state = STATES.get(name) or ("working" if self.frames(key) else "waiting")
        return Held(state, job, self.spool.folder(name, key))

    def reason(self, held: Held) -> str:
        """Why it failed; empty where it did not."""
        return (held.folder / REASON).read_text(encoding="utf-8").strip() if held.state == "failed" else ""

    def about(self, held: Held) -> dict[str, Any]:
        """How it was made; nothing of what is not made yet."""
        made = held.state in ("delivering", "delivered", "ready")
        return self.spool.about(held.folder.parent.name, held.job.key) if made else {}

    def drop(self, held: Held) -> bool:
        """Nothing of it is left here; `False` where it is still needed."""
        if held.state == "waiting":
            return self.withdraw(held.job.key)
        name = {"ready": KEPT, "failed": QUARANTINE}.get(held.state)
        with suppress(FileNotFoundError):  # somebody else removed it
            if name:
                self.spool.drop(name, held.job.key)
        return name is not None


def suffix_of(path: Path, says_dicom: bool) -> str | None:
    """What kind of file it is, by its first bytes; nothing where it is none we take.

    Images from before DICOM had a preamble are known only by what is said of them.
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
