"""Prepared images as pairs of tensors: the low-resolution input and the high-resolution original."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from components.handover import PreparedRow, StepError, fingerprint, read_rows, sha256_of
from components.handover.names import INDEX


@dataclass(frozen=True)
class Pair:
    """One frame: `low` `(1, h, w)` and `high` `(1, scale * h, scale * w)` float32 in about [0, 1]; `body` its mask."""

    row: PreparedRow
    low: Tensor
    high: Tensor
    body: Tensor


def load_pairs(folder: Path, split: str, scale: int) -> list[Pair]:
    """All frames of one split. Raises `StepError` where there are none, or none at that scale."""
    return list(iterate_pairs(folder, split, scale))


def iterate_pairs(folder: Path, split: str, scale: int) -> Iterator[Pair]:
    """As `load_pairs`, one frame in memory at a time."""
    yield from (_pair(folder, row, scale) for row in rows_of(folder, split))


def rows_of(folder: Path, split: str) -> list[PreparedRow]:
    """The frames of one split. Raises `StepError` where there are none."""
    rows = [row for row in read_rows(folder / INDEX, PreparedRow) if row.split == split]
    if not rows:
        raise StepError(f"{folder / INDEX}: expected images in the {split} split, found none. See data/splits.csv.")
    return rows


def _pair(folder: Path, row: PreparedRow, scale: int) -> Pair:
    with np.load(folder / row.file, allow_pickle=False) as arrays:
        name = f"lr_x{scale}"
        if name not in arrays:
            raise StepError(f"{row.file}: expected {name}, found {', '.join(arrays)}. Add {scale} to prepare.scales.")
        low, high, body = (torch.from_numpy(arrays[key]).unsqueeze(0) for key in (name, "hr", "mask"))
    return Pair(row, low, high, body)


def held_out_digest(folder: Path) -> str:
    """Digest of the held-out images. Scores with the same digest are comparable."""
    rows = [row for row in read_rows(folder / INDEX, PreparedRow) if row.split == "test"]
    return fingerprint(*((row.sample_id, sha256_of(folder / row.file)) for row in rows))
