"""Where a training stands, on disk: whole or absent, and only ever resumed by the training that wrote it."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from components.handover import Replacing

NAME = "last.pt"


def fingerprint(*parts: Any) -> str:
    """One digest of everything that decides a training: another digest, another training."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def save_checkpoint(folder: Path, owner: str, state: dict[str, Any]) -> Path:
    """Writes `state` (tensors, numbers, text, nested) as `owner`'s; the file before survives a failure."""
    path = folder / NAME
    with Replacing(path) as temporary:
        torch.save({"owner": owner, "state": state}, temporary)
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
