"""Prepares the images for training and scoring: `data/raw` and `data/splits.csv` to `data/prepared`.

Super-resolution: frames in [0, 1] without blank borders, with their low-resolution images and body masks.
Classification: one array of square images in the classifier's channels, and their labels.
Data that failed validation are refused.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from components.dicom.read import read_image
from components.handover import (
    CLASSIFIER,
    SPLITS,
    IndexRow,
    LabelledRow,
    Layout,
    PreparedRow,
    SplitRow,
    StepError,
    check_patients,
    read_json,
    read_rows,
    write_rows,
)
from components.handover.names import IMAGES, INDEX
from components.imaging.body import body_mask
from components.imaging.decoding import UnreadableImage
from components.imaging.degradation import degrade
from components.imaging.geometry import content_box, crop_to_multiple, fit_channels, frames_to_take, planes_of
from components.imaging.intensity import luma, padding_of, percentile_range, to_unit
from components.params import Params
from components.params import Prepare as Settings
from components.params.run_step import run_step
from components.params.trainings import ClassifierTraining

BLANK = 0.01  # of the range: an outer line that varies by no more is cut off
LEAST_SIDE = 32  # pixels left after cutting; SSIM's window and the border it drops need most of them

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """The rows that `run` wrote, and the names of the images that it left out."""

    frames: list[PreparedRow]
    labelled: list[LabelledRow]
    left_out: list[str]


@dataclass(frozen=True)
class Work:
    """An image of the index and the side it is on."""

    image: IndexRow
    split: str


@dataclass(frozen=True)
class Frame:
    """A frame in [0, 1], (rows, columns), and the values that became 0 and 1."""

    number: int
    unit: Image
    low: float
    high: float
    reduction: int = 1  # factor by which it was made smaller


def run(layout: Layout, settings: Params) -> Prepared:
    """Writes `data/prepared` anew, one image in memory at a time. Raises `StepError` where validation failed, an image
    cannot be read, a patient is on two sides, a label is missing or a side of the split would stay empty."""
    _check_verdict(layout)
    check_patients(layout.splits, read_rows(layout.splits, SplitRow), "Split again.")
    shutil.rmtree(layout.prepared, ignore_errors=True)
    frames, left_out = super_resolution(layout, settings)
    _check_sides(frames, left_out)
    return Prepared(frames, _classification(layout, settings), left_out)


def _check_verdict(layout: Layout) -> None:
    verdict = read_json(layout.validation)
    if verdict.get("passed") is True and not verdict.get("critical_failures"):
        return
    failures = "".join(f"\n  {failure}" for failure in verdict.get("critical_failures") or ())
    raise StepError(
        f"{layout.validation}: expected data that passed validation, found critical failures. "
        f"Correct the data or the limits in params.yaml and validate again.{failures}"
    )


def _work(layout: Layout, task: str) -> list[Work]:
    """The images of a task that are on a side, by image id."""
    index = {row.image_id: row for row in read_rows(layout.index, IndexRow) if row.task == task and not row.quarantined}
    rows = [row for row in read_rows(layout.splits, SplitRow) if row.task == task and row.split]
    unknown = [row.image_id for row in rows if row.image_id not in index or row.split not in SPLITS]
    if unknown:
        raise StepError(f"{layout.splits}: expected images of {layout.index}, found {', '.join(unknown)}. Split again.")
    return sorted((Work(index[row.image_id], row.split) for row in rows), key=lambda work: work.image.image_id)


def _pixels(layout: Layout, row: IndexRow, frames: int) -> tuple[tuple[int, ...], Image]:
    """At most `frames` frames: their numbers, and their values (frames, rows, columns), with (…, 3) for colour."""
    try:
        pixels = read_image(layout.raw / row.path)
    except (UnreadableImage, FileNotFoundError) as error:
        raise StepError(f"{_name(row)}: expected an image in {layout.raw}, {error}. Ingest again.") from error
    numbers = frames_to_take(len(pixels), frames)
    return numbers, pixels[list(numbers)]


def _name(row: IndexRow) -> str:
    return f"{row.image_id} ({row.file_name})"


def _unit(pixels: Image, settings: Settings) -> tuple[Image, float, float]:
    """`pixels`, (…, rows, columns), in [0, 1], and the values that became 0 and 1, the same for all of them."""
    low, high = percentile_range(pixels, settings.percentile_low, settings.percentile_high, padding_of(pixels))
    return to_unit(pixels, low, high), low, high


def super_resolution(layout: Layout, settings: Params) -> tuple[list[PreparedRow], list[str]]:
    """Writes `data/prepared/super_resolution` from the split images; gives its rows, and the images left out."""
    layout.super_resolution.mkdir(parents=True)
    rows: list[PreparedRow] = []
    left_out: list[str] = []
    for work in track(_work(layout, "super_resolution"), "super-resolution"):
        for frame in _frames(layout, work.image, settings.prepare):
            cut = _cut(frame, settings.prepare)
            if min(cut.unit.shape) < LEAST_SIDE:
                left_out.append(f"{_name(work.image)} frame {frame.number}: blank but for {_size(cut.unit)} pixels")
            else:
                rows += [
                    _write_frame(layout, work, sized, settings) for sized in _sizes(cut, work.split, settings.prepare)
                ]
    write_rows(layout.super_resolution / INDEX, PreparedRow, rows)
    return rows, left_out


def _frames(layout: Layout, row: IndexRow, settings: Settings) -> Iterator[Frame]:
    numbers, pixels = _pixels(layout, row, settings.frames_per_image)
    try:
        unit, low, high = _unit(luma(pixels) if pixels.ndim == 4 else pixels, settings)
    except ValueError as error:
        raise StepError(f"{_name(row)}: {error}. Remove it from the source and ingest again.") from error
    yield from (Frame(number, frame, low, high) for number, frame in zip(numbers, unit, strict=True))


def _cut(frame: Frame, settings: Settings) -> Frame:
    """The frame without its blank border, both sides a multiple of every scale; empty where nothing is left."""
    content = frame.unit[content_box(frame.unit, BLANK)]
    multiple = math.lcm(*settings.scales)
    if min(content.shape) < multiple:
        return replace(frame, unit=content[:0, :0])
    return replace(frame, unit=np.ascontiguousarray(crop_to_multiple(content, multiple)))


def _sizes(frame: Frame, split: str, settings: Settings) -> Iterator[Frame]:
    """The frame; for training also reduced copies, with finer structure per pixel, as ESRGAN's authors did."""
    yield frame
    for reduction in settings.training_reductions if split == "train" else ():
        smaller = degrade(crop_to_multiple(frame.unit, reduction), reduction, "bicubic", 0)
        cropped = crop_to_multiple(np.clip(smaller, 0, 1), math.lcm(*settings.scales))
        if min(cropped.shape) >= settings.min_reduced_side:
            yield replace(frame, unit=np.ascontiguousarray(cropped), reduction=reduction)


def _size(image: Image) -> str:
    return " x ".join(map(str, image.shape))


def _write_frame(layout: Layout, work: Work, frame: Frame, settings: Params) -> PreparedRow:
    row, prepare = work.image, settings.prepare
    sample = f"{row.image_id}-{frame.number}" + (f"-x{frame.reduction}" if frame.reduction > 1 else "")
    seed = int.from_bytes(hashlib.sha256(f"{settings.seed} {sample}".encode()).digest()[:8])
    arrays: dict[str, NDArray[np.generic]] = {"hr": frame.unit, "mask": body_mask(frame.unit)}
    for scale in prepare.scales:
        arrays[f"lr_x{scale}"] = degrade(frame.unit, scale, prepare.degradation, seed)
    np.savez(layout.super_resolution / f"{sample}.npz", allow_pickle=False, **arrays)
    rows, columns = frame.unit.shape
    return PreparedRow(
        sample_id=sample, image_id=row.image_id, frame=frame.number, patient_id=row.patient_id, modality=row.modality,
        split=work.split, rows=rows, columns=columns, low=frame.low, high=frame.high, file=f"{sample}.npz",
    )  # fmt: skip


def _check_sides(rows: list[PreparedRow], left_out: list[str]) -> None:
    empty = sorted(set(SPLITS) - {row.split for row in rows})
    if empty:
        raise StepError(
            f"super-resolution: expected images to {', '.join(SPLITS)}, none is left to {', '.join(empty)}. "
            "Add sources to `ingest` in params.yaml, or split again." + "".join(f"\n  {line}" for line in left_out)
        )


def _classification(layout: Layout, settings: Params) -> list[LabelledRow]:
    works = _work(layout, "classification")
    _check_labels(works, layout)
    layout.classification.mkdir(parents=True)
    size, channels = _classifier_input(settings)
    images = np.lib.format.open_memmap(
        layout.classification / IMAGES, "w+", np.dtype(np.float32), (len(works), channels, size, size)
    )
    layout.held_out_labelled.mkdir(parents=True)
    colour, constant = [], []
    for number, work in enumerate(track(works, "classification")):
        pixels = _pixels(layout, work.image, 1)[1][0]
        if pixels.ndim == 3 and channels == 1:
            colour.append(_name(work.image))
            continue
        try:
            unit = _readable(pixels, settings.prepare)
            images[number] = fit_channels(planes_of(unit), size, channels)
            if work.split == "test":
                np.save(layout.held_out_labelled / f"{work.image.image_id}.npy", unit)
        except ValueError as error:
            constant.append(f"{_name(work.image)}: {error}")
    _check_shown(colour, constant)
    images.flush()
    rows = [_labelled_row(work) for work in works]
    write_rows(layout.classification / INDEX, LabelledRow, rows)
    return rows


def _readable(pixels: Image, settings: Settings) -> Image:
    """A frame, (rows, columns) or (rows, columns, 3), in [0, 1]; its colours share one range."""
    if pixels.ndim == 2:
        return _unit(pixels, settings)[0]
    return np.moveaxis(_unit(np.moveaxis(pixels, -1, 0), settings)[0], 0, -1)


def _check_shown(colour: list[str], constant: list[str]) -> None:
    problems = [f"{name}: expected a grey image, found colour" for name in colour]
    remedy = "Convert those of colour to grey, or set train.classifier.network.input_channels to 3. " if colour else ""
    remedy += "Remove those that show nothing. " if constant else ""
    if problems or constant:
        raise StepError(
            f"classification: images that the classifier cannot be given. {remedy}Then ingest again.\n  "
            + "\n  ".join(problems + constant)
        )


def _classifier_input(settings: Params) -> tuple[int, int]:
    """Pixels a side and channels of what the classifier reads."""
    training = settings.train.get(CLASSIFIER)
    if not isinstance(training, ClassifierTraining):
        raise StepError("params.yaml: expected train.classifier with `recipe: classifier`, found none. Add it.")
    return training.size, int(training.network.get("input_channels", 1))  # DenseNet201's own default


def _labelled_row(work: Work) -> LabelledRow:
    row = work.image
    return LabelledRow(
        image_id=row.image_id, patient_id=row.patient_id, label=row.label, split=work.split, simulated=row.simulated
    )


def _check_labels(works: list[Work], layout: Layout) -> None:
    problems = [f"{_name(work.image)} has no label" for work in works if not work.image.label]
    for side in SPLITS:
        labels = sorted({work.image.label for work in works if work.split == side and work.image.label})
        if len(labels) < 2:
            problems.append(f"{side}: expected two labels or more, found {', '.join(labels) or 'none'}")
    if problems:
        raise StepError(
            f"{layout.index}: labels that cannot be learned from. Correct them in the source and ingest again.\n  "
            + "\n  ".join(problems)
        )


def summary(prepared: Prepared) -> Iterator[str]:
    """Lines for the terminal."""
    for side in SPLITS:
        frames = [row for row in prepared.frames if row.split == side]
        modalities = ", ".join(f"{name} {n}" for name, n in sorted(Counter(row.modality for row in frames).items()))
        images = len({row.image_id for row in frames})
        yield f"super-resolution {side}: {len(frames)} frames of {images} images ({modalities})"
        labels = Counter(row.label for row in prepared.labelled if row.split == side)
        yield f"classification {side}: " + ", ".join(f"{label} {n}" for label, n in sorted(labels.items()))
    yield from (f"left out: {line}" for line in prepared.left_out)


def main() -> int:
    return run_step(lambda layout, settings: summary(run(layout, settings)))


if __name__ == "__main__":
    raise SystemExit(main())
