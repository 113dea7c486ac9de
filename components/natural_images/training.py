"""Prepares folders of natural pictures for training by `components.train`."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from components.handover import Layout, PreparedRow, StepError, write_rows
from components.handover.names import CONFIG, GRAPH, INDEX
from components.natural_images.folder import (
    Picture,
    UnusablePicture,
    pictures,
    read_original,
    refuse,
)
from components.natural_images.protocol import WHITE, luma, reduced
from components.params import Params, load
from components.params.trainings import AdversarialTraining, PixelTraining


def settings(
    layout: Layout, path: Path, name: str, profile: str | None = None, steps: int | None = None
) -> tuple[Params, int]:
    """The settings with which `components.train.run` trains `name` on pictures, and the scale it learns.

    They are those in `path` for `profile` (by default the one that `path` names), with three differences. Weights are
    fresh, since those that a profile may start from saw other images. Values are luma / 255, without percentiles.
    The content loss uses random features in place of the classifier's, which does not exist here.
    Raises `StepError` where `name` is no generator, or starts from one that is not trained yet.
    """
    params = load(path, profile)
    training = _generator(params, name)
    training = replace(training, steps=steps or training.steps)
    if isinstance(training, PixelTraining):
        training = replace(training, start="")
    else:
        _check_start(layout, name, training.generator)
        training = _without_classifier(training)
    full_range = replace(params.prepare, percentile_low=0.0, percentile_high=100.0)
    return replace(params, prepare=full_range, train=params.train | {name: training}), training.scale


def _generator(params: Params, name: str) -> PixelTraining | AdversarialTraining:
    training = params.train.get(name)
    if not isinstance(training, PixelTraining | AdversarialTraining):
        raise StepError(f"params.yaml: expected a generator under {params.profile}.train, found no {name}. Add it.")
    return training


def _without_classifier(training: AdversarialTraining) -> AdversarialTraining:
    if training.features == "classifier":
        training = replace(training, features="random")
    if training.features_substitute == "classifier":
        training = replace(training, features_substitute="random")
    return training


def _check_start(layout: Layout, name: str, generator: str) -> None:
    folder = layout.model(generator)
    if not (folder / CONFIG).is_file():
        raise StepError(
            f"{name}: expected its start, a trained {generator}, in {folder}, found none. "
            f"Train {generator} first, into the same folder."
        )


def prepare(layout: Layout, training: Path, validation: Path, scale: int) -> list[PreparedRow]:
    """Writes `layout.super_resolution` anew from two folders of pictures, one picture in memory at a time.

    A pair is luma / 255 of a picture and of the picture reduced as by MATLAB's `imresize`, in 8 bits, in the files of
    medical images. Raises `StepError` naming every picture that is unreadable, too small, or a duplicate. The folder
    then keeps its previous content.
    """
    if (layout.root / GRAPH).exists():
        raise StepError(f"{layout.root}: holds a pipeline, whose images and models would be lost. Name another folder.")
    staging = layout.prepared / "super_resolution.part"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        rows = _write_all(staging, {"train": training, "validation": validation}, scale)
        shutil.rmtree(layout.super_resolution, ignore_errors=True)
        staging.rename(layout.super_resolution)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return rows


def _write_all(target: Path, sources: dict[str, Path], scale: int) -> list[PreparedRow]:
    rows: dict[str, PreparedRow] = {}
    problems = []
    for split, folder in sources.items():
        for picture in pictures(folder):
            try:
                row = _write(target, picture, split, scale, rows)
                rows[row.image_id] = row
            except UnusablePicture as error:
                problems.append(f"{picture.path}: {error}")
    refuse(problems)
    write_rows(target / INDEX, PreparedRow, rows.values())
    return list(rows.values())


def _write(folder: Path, picture: Picture, split: str, scale: int, earlier: dict[str, PreparedRow]) -> PreparedRow:
    high = read_original(picture.path, scale)
    image_id = _content_id(high)
    if image_id in earlier:
        raise UnusablePicture(f"the same picture as {earlier[image_id].patient_id} to {earlier[image_id].split}")
    hr, lr = (luma(image)[0].numpy() / WHITE for image in (high, reduced(high, scale)))
    sample = f"{image_id}-0"
    arrays = {"hr": hr, "mask": np.ones(hr.shape, np.bool_), f"lr_x{scale}": lr}
    np.savez(folder / f"{sample}.npz", allow_pickle=False, **arrays)
    rows, columns = hr.shape
    return PreparedRow(
        sample_id=sample,
        image_id=image_id,
        frame=0,
        patient_id=picture.name,
        modality="natural",
        split=split,
        rows=rows,
        columns=columns,
        low=0.0,
        high=float(WHITE),
        file=f"{sample}.npz",
    )


def _content_id(picture: Tensor) -> str:
    return hashlib.sha256(repr(tuple(picture.shape)).encode() + picture.numpy().tobytes()).hexdigest()[:16]


def make_ready(
    layout: Layout, path: Path, name: str, training: Path, validation: Path, profile: str | None, steps: int | None
) -> Params:
    """Returns `settings` and calls `prepare` at their scale. Of processes that train together the first prepares."""
    params, scale = settings(layout, path, name, profile, steps)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the others are started by the first, once it is here
        rows = prepare(layout, training, validation, scale)
        splits = [row.split for row in rows]
        print(f"{splits.count('train')} pictures to train on, {splits.count('validation')} to validate, at x{scale}")
    return params
