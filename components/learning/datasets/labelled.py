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

NEGATIVE = ("normal", "negative", "healthy", "0")  # labels of the class without a finding
REMEDY = "Correct the labels in the source, then ingest, split and prepare again."


@dataclass(frozen=True)
class LabelledImages:
    """The images of one split: `images` `(N, C, S, S)` in [0, 1], `labels` `(N,)` 0 or 1, and their rows."""

    images: Tensor
    labels: Tensor
    rows: list[LabelledRow]


def load_labelled(folder: Path, split: str, classes: tuple[str, ...]) -> LabelledImages:
    """The labelled images of `split`; labels count from 0 in the order of `classes`.

    Raises `StepError` naming the images whose label is missing or unknown, or the patients in two splits.
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
    labels = sorted({row.label for row in _table(folder)})
    if len(labels) != 2:
        raise StepError(f"{folder / INDEX}: expected two labels, found {len(labels)}: {', '.join(labels)}. {REMEDY}")
    return tuple(sorted(labels, key=lambda label: (label.lower() not in NEGATIVE, label)))


def held_out_digest(folder: Path) -> str:
    """Digest of the held-out images and their labels. Scores with the same digest are comparable."""
    images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    held_out = [(number, row) for number, row in enumerate(_table(folder)) if row.split == "test"]
    return fingerprint(*((row.image_id, row.label, sha256(images[i].tobytes()).hexdigest()) for i, row in held_out))


def _table(folder: Path) -> list[LabelledRow]:
    """The rows of the table. Raises `StepError` where a label is missing or a patient is in two splits."""
    path = folder / INDEX
    rows = read_rows(path, LabelledRow)
    unlabelled = [row.image_id for row in rows if not row.label]
    if unlabelled:
        raise StepError(f"{path}: expected a label for every image, found none for {', '.join(unlabelled)}. {REMEDY}")
    check_patients(path, rows, "Split and prepare again.")
    return rows
