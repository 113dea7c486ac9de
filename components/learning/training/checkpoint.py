"""Where a training stands, on disk: whole or absent, and only ever resumed by the training that wrote it."""

from __future__ import annotations

import io
import pickle
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from components.handover import Replacing

NAME = "last.pt"


def save_checkpoint(folder: Path, owner: str, state: dict[str, Any]) -> Path:
    """Writes `state` (tensors, numbers, text, nested) as `owner`'s; the file before survives a failure.

    Raises `OSError` where the disk takes no more.
    """
    path, content = folder / NAME, io.BytesIO()
    torch.save({"owner": owner, "state": state}, content)  # into memory: torch hides why a disk refused
    with Replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return path


def load_checkpoint(folder: Path, owner: str) -> dict[str, Any] | None:
    """The state that `owner` left in `folder`, or `None`: nothing there, another training's, or unreadable."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        print(f"{path}: not a readable checkpoint ({error}); training starts from the beginning")
        return None
    if content["owner"] != owner:
        print(f"{path}: belongs to other settings or other data; training starts from the beginning")
        return None
    state: dict[str, Any] = content["state"]
    return state


def remove_checkpoint(folder: Path) -> None:
    """Drops the checkpoint of a training that has ended."""
    (folder / NAME).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class Checkpoints:
    """A training's own place on disk. A copy of the state is taken at once; the disk is waited for by a thread.

    A disk that is full stops no training: it is said, the last good checkpoint stays, the next step that keeps one
    tries again. With `writes` false it only reads, as all processes but one of a training do.
    """

    def __init__(self, folder: Path, owner: str, writes: bool = True) -> None:
        self.folder, self._owner, self._writes = folder, owner, writes
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[Path] | None = None
        self._pending_step = self.last_good = 0

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.wait()
        self._thread.shutdown()

    def load(self) -> dict[str, Any] | None:
        return load_checkpoint(self.folder, self._owner)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Keeps `state` as that after `step`; waits only where the one before is still being written."""
        if not self._writes:
            return
        self.wait()
        self._pending_step = step
        self._pending = self._thread.submit(save_checkpoint, self.folder, self._owner, copied(state))

    def wait(self) -> None:
        """Until what was asked for is on disk, or it has been said why not."""
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        try:
            pending.result()
            self.last_good = self._pending_step
        except OSError as error:
            free = shutil.disk_usage(self.folder).free / 2**20
            print(
                f"checkpoint of step {self._pending_step}: not written to {self.folder} ({error.strerror}; "
                f"{free:.0f} MiB free). Training goes on; the last good one is of step {self.last_good}. Make room: "
                "the next one is tried."
            )


def copied(state: Any) -> Any:
    """`state` with its tensors copied to the CPU, so that training can go on while it is written."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(copied(value) for value in state)
    return state
