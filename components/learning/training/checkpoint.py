"""Checkpoints of a training: written whole or not at all, and resumed only by the training that wrote them."""

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
    """Writes `state` (tensors, numbers, text, nested) as `owner`'s. A failure leaves the previous file.

    Raises `OSError` where the disk is full.
    """
    path, content = folder / NAME, io.BytesIO()
    torch.save({"owner": owner, "state": state}, content)  # in memory first: torch hides the disk's error
    with Replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return path


def load_checkpoint(folder: Path, owner: str) -> dict[str, Any] | None:
    """The state that `owner` left in `folder`, or `None` where it is absent, another training's, or unreadable."""
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
    """Deletes the checkpoint of a finished training."""
    (folder / NAME).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class Checkpoints:
    """The checkpoints of one training. `save` copies the state at once; a thread writes the copy to disk.

    A full disk stops no training: the failure is printed, the last good checkpoint stays, and the next `save` tries
    again. `writes` is false in all processes of a training but one; these only read.
    """

    def __init__(self, folder: Path, owner: str, writes: bool = True) -> None:
        self.folder, self._owner, self._writes = folder, owner, writes
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[Path] | None = None
        self._pending_step = self.last_good = 0

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.wait()
        self._thread.shutdown()

    def load(self) -> dict[str, Any] | None:
        return load_checkpoint(self.folder, self._owner)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes `state` as that after `step`; waits only while the previous checkpoint is being written."""
        if not self._writes:
            return
        self.wait()
        self._pending_step = step
        self._pending = self._thread.submit(save_checkpoint, self.folder, self._owner, copied(state))

    def wait(self) -> None:
        """Waits until the pending checkpoint is on disk, or prints why it is not."""
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
    """`state` with its tensors copied to the CPU, so that training can go on during the write."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(copied(value) for value in state)
    return state
