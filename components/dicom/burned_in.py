"""Blanks what may be written into the pixels: everything outside the regions known to hold only the image.

Ultrasound machines write names and hospitals into the picture, and a secondary capture may be a photograph of anything,
a face included. Such an image keeps the pixels inside the regions its machine declared (ultrasound) or that a person
looked at and listed in `data/reviewed_regions.csv`; with neither it is refused. Declared regions say where a scale
holds (PS3.3 C.8.5.5), not where text is: where they leave nothing out they tell nothing, and a person has to look.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from components.dicom.deidentify import add_method
from components.dicom.frames import is_lossy, stored_frames
from components.dicom.palette import colours
from components.dicom.suspicious import is_ultrasound, suspicion
from components.handover import StepError
from components.imaging.decoding import BROKEN, REMEDY, UnreadableImage, one_line, with_remedy

COLUMNS = ("sha256", "x0", "y0", "x1", "y1", "note")
WHOLE = 0.95  # share of the image from which on declared regions count as all of it


@dataclass(frozen=True)
class Box:
    """Pixels from (x0, y0) to (x1, y1), both included: columns x and rows y from 0, as in ultrasound regions."""

    x0: int
    y0: int
    x1: int
    y1: int


Reviewed = dict[str, list[Box]]  # by SHA-256 of the file as it came


def read_reviewed(path: Path) -> Reviewed:
    """Regions a person reviewed; empty where there is no such file. Raises `StepError` naming every bad line."""
    if not path.is_file():
        return {}
    reviewed: Reviewed = {}
    problems = []
    with path.open(newline="", encoding="utf-8") as handle:
        for number, row in enumerate(csv.DictReader(handle), start=2):
            try:
                box = Box(*(int(row[name]) for name in COLUMNS[1:5]))
                reviewed.setdefault(row["sha256"].lower(), []).append(box)
            except (KeyError, TypeError, ValueError) as error:
                problems.append(f"line {number}: {error!r}")
    if problems:
        raise StepError(f"{path}: expected the columns {', '.join(COLUMNS)}, numbers whole: {'; '.join(problems)}")
    return reviewed


def regions_to_keep(dataset: Dataset, sha256: str, reviewed: Reviewed, name: str) -> list[Box] | None:
    """Boxes whose pixels may stay; None where nothing has to be blanked. Raises `UnreadableImage` where unknown."""
    if sha256 in reviewed:
        return reviewed[sha256]
    reason = suspicion(dataset)
    if reason is None:
        return None
    declared = _declared(dataset) if is_ultrasound(dataset) else []
    if declared and _outside(dataset, declared).mean() > 1 - WHOLE:
        return declared
    raise UnreadableImage(
        name,
        f"text may be burned in ({reason}): look at it and add the region to keep to data/reviewed_regions.csv "
        f"under sha256 {sha256}",
    )


def clean(dataset: Dataset, boxes: Sequence[Box], name: str) -> None:
    """Blanks every pixel of `dataset` outside `boxes`, in place, and says so in the header.

    `boxes` come from `regions_to_keep`: where they hold the whole image, a person has looked at it, and its encoding
    stays as it is. Rewritten pixels are RLE (lossless). "Clean Pixel Data" (113101) is said in both cases.
    Raises `UnreadableImage` where the pixels cannot be decoded or no box lies inside the image.
    """
    outside = _outside(dataset, boxes)
    if outside.all():
        raise UnreadableImage(
            name, f"no region to keep lies inside its {dataset.Rows} x {dataset.Columns} pixels. {REMEDY}"
        )
    if outside.any():
        try:
            _rewrite(dataset, outside)
        except BROKEN as error:
            raise UnreadableImage(name, with_remedy(f"pixels cannot be decoded: {one_line(error)}")) from error
    dataset.BurnedInAnnotation = "NO"
    add_method(dataset, "113101", "Clean Pixel Data Option")


def _outside(dataset: Dataset, boxes: Sequence[Box]) -> NDArray[np.bool_]:
    """Which pixels are in no box, (rows, columns)."""
    outside = np.ones((int(dataset.Rows), int(dataset.Columns)), bool)
    for box in boxes:
        outside[max(box.y0, 0) : max(box.y1 + 1, 0), max(box.x0, 0) : max(box.x1 + 1, 0)] = False
    return outside


def _declared(dataset: Dataset) -> list[Box]:
    corners = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
    regions = dataset.get("SequenceOfUltrasoundRegions") or []
    values = [[region.get(corner) for corner in corners] for region in regions]
    return [Box(*corner) for corner in values if all(isinstance(value, int) for value in corner)]


def _rewrite(dataset: Dataset, outside: NDArray[np.bool_]) -> None:
    frames = list(stored_frames(dataset))
    stored = np.stack(frames) if len(frames) > 1 else frames[0].copy()
    if dataset.SamplesPerPixel == 1:
        stored[..., outside] = _darkest(stored, dataset)
    else:
        stored[..., outside, :] = 0
    if is_lossy(dataset):
        dataset.LossyImageCompression = "01"
    if dataset.PhotometricInterpretation.startswith("YBR"):
        dataset.PhotometricInterpretation = "RGB"
    dataset.compress(RLELossless, stored, generate_instance_uid=False)


def _darkest(stored: NDArray[Any], dataset: Dataset) -> int:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = np.unique(stored)
        return int(values[colours(values, dataset).astype(np.int64).sum(axis=-1).argmin()])
    return int(stored.max() if dataset.PhotometricInterpretation == "MONOCHROME1" else stored.min())
