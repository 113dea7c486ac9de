"""Prepared images with their labels, as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from components.handover import LabelledRow, StepError, check_patients, fingerprint, read_rows
from components.handover.names import IMAGES, INDEX

NEGATIVE = ("normal", "negative", "healthy", "0")  # a label that means nothing was found
REMEDY = "Correct the labels in the source, then ingest, split and prepare again."


@dataclass(frozen=True)
class LabelledImages:
    """One side of the split: `images` `(N, C, S, S)` in [0, 1], `labels` `(N,)` 0 or 1, and their rows."""

    images: Tensor
    labels: Tensor
    rows: list[LabelledRow]


def load_labelled(folder: Path, split: str, classes: tuple[str, ...]) -> LabelledImages:
    """The labelled images of `split`; labels count from 0 in the order of `classes`.

    Raises `StepError` naming the images whose label is missing or unknown, and patients on two sides.
    """
    table = _table(folder)
    chosen = [i for i, row in enumerate(table) if row.split == split]
    if not chosen:
        raise StepError(f"{folder / INDEX}: expected labelled images in the {split} split, found none. {REMEDY}")
    images = torch.from_numpy(np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)[chosen])
    rows = [table[i] for i in chosen]
    unknown = [f"{row.image_id}: {row.label}" for row in rows if row.label not in classes]
    if unknown:
        raise StepError(
            f"{folder / INDEX}: expected the labels {', '.join(classes)}, found {len(unknown)} other(s). "
            f"{REMEDY}\n  " + "\n  ".join(unknown)
        )
    return LabelledImages(images, torch.tensor([classes.index(row.label) for row in rows]), rows)


def classes_of(folder: Path) -> tuple[str, ...]:
    """The two labels in the table, the negative one first. Raises `StepError` unless there are exactly two."""
    found = sorted({row.label for row in _table(folder)})
    if len(found) != 2:
        raise StepError(f"{folder / INDEX}: expected two labels, found {len(found)}: {', '.join(found)}. {REMEDY}")
    return tuple(sorted(found, key=lambda label: (label.lower() not in NEGATIVE, label)))


def held_out_digest(folder: Path) -> str:
    """One digest of every held-out image and its label: scores under the same one may be compared."""
    images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    held_out = [(number, row) for number, row in enumerate(_table(folder)) if row.split == "test"]
    return fingerprint(*((row.image_id, row.label, sha256(images[i].tobytes()).hexdigest()) for i, row in held_out))


def _table(folder: Path) -> list[LabelledRow]:
    """The rows of the table, each with a label, no patient on two sides; else raises `StepError`."""
    path = folder / INDEX
    rows = read_rows(path, LabelledRow)
    bare = [row.image_id for row in rows if not row.label]
    if bare:
        raise StepError(f"{path}: expected a label for every image, found none for {', '.join(bare)}. {REMEDY}")
    check_patients(path, rows, "Split and prepare again.")
    return rows
