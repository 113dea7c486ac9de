"""Trains and scores on folders of natural pictures, so that a network here can be checked against its paper.

`python -m components.natural prepare` writes what `components.train` trains on, `score` prints a table by the published
protocol; `medsr train` and `medsr score` do the same. Needs no more than training does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from components import params
from components.handover import Layout, PreparedRow, StepError, write_rows
from components.learning import published
from components.learning.inference.tiling import sharpen_tiled
from components.learning.inference.upscaling import Upscale, bicubic_upscale
from components.learning.picture_folder import (
    Picture,
    UnusablePicture,
    paired,
    pictures,
    read_original,
    read_pair,
    refuse,
)
from components.learning.published import WHITE, PictureScore, Table, luma, reduced
from components.learning.weights import CONFIG, load_weights
from components.params import Params
from components.params.run_step import report
from components.params.trainings import AdversarialTraining, PixelTraining

BICUBIC = "bicubic"
TILE, OVERLAP = 320, 32  # low-resolution pixels: the pictures of the usual x4 test sets go through whole


def settings(
    layout: Layout, path: Path, name: str, profile: str | None = None, steps: int | None = None
) -> tuple[Params, int]:
    """What `components.train.run` takes to train `name` on pictures, and the scale it learns.

    The settings in `path` for `profile` (the one it names, if none is given), with three differences: weights are
    fresh, since those that a profile may start from saw other images; values are no percentiles of a picture but its
    luma / 255; the content loss sees random features where the settings name the classifier's: there is none here.
    Raises `StepError` where `name` is no generator, or starts from one that is not trained yet.
    """
    named = params.load(path).profile  # says what is wrong with the file, if anything is
    chosen = profile or named
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | {"profile": chosen}
    content["prepare"] |= {"percentile_low": 0, "percentile_high": 100}
    training = _generator(params.parse(content, str(path)), name)
    own = content[chosen]["train"][name]
    own |= {"steps": steps or training.steps}
    if isinstance(training, PixelTraining):
        own["start"] = ""
    else:
        _check_start(layout, name, training.generator)
        own |= {key: "random" for key in ("features", "features_substitute") if own[key] == "classifier"}
    return params.parse(content, str(path)), training.scale


def _generator(made: Params, name: str) -> PixelTraining | AdversarialTraining:
    training = made.train.get(name)
    if not isinstance(training, PixelTraining | AdversarialTraining):
        raise StepError(f"params.yaml: expected a generator under {made.profile}.train, found no {name}. Add it.")
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

    Training takes it as it takes medical images: luma / 255, and luma of the picture reduced as MATLAB's `imresize`
    does, in 8 bits. Raises `StepError` naming every picture that is unreadable, too small, or there twice; what was
    there before then stays.
    """
    if (layout.root / "dvc.yaml").exists():
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


def _write_all(into: Path, folders: dict[str, Path], scale: int) -> list[PreparedRow]:
    rows: dict[str, PreparedRow] = {}
    problems = []
    for split, folder in folders.items():
        for picture in pictures(folder):
            try:
                row = _write(into, picture, split, scale, rows)
                rows[row.image_id] = row
            except UnusablePicture as error:
                problems.append(f"{picture.path}: {error}")
    refuse(problems)
    write_rows(into / "index.csv", PreparedRow, rows.values())
    return list(rows.values())


def _write(into: Path, picture: Picture, split: str, scale: int, before: dict[str, PreparedRow]) -> PreparedRow:
    high = read_original(picture.path, scale)
    image_id = _content_id(high)
    if image_id in before:
        raise UnusablePicture(f"the same picture as {before[image_id].patient_id} to {before[image_id].split}")
    hr, lr = (luma(image)[0].numpy() / WHITE for image in (high, reduced(high, scale)))
    sample = f"{image_id}-0"
    arrays = {"hr": hr, "mask": np.ones(hr.shape, np.bool_), f"lr_x{scale}": lr}
    np.savez(into / f"{sample}.npz", allow_pickle=False, **arrays)
    about = (sample, image_id, 0, picture.name, "natural", split)
    rows, columns = hr.shape
    return PreparedRow(*about, rows, columns, 0.0, float(WHITE), f"{sample}.npz")


def _content_id(picture: Tensor) -> str:
    return hashlib.sha256(repr(tuple(picture.shape)).encode() + picture.numpy().tobytes()).hexdigest()[:16]


def make_ready(
    layout: Layout, path: Path, name: str, training: Path, validation: Path, profile: str | None, steps: int | None
) -> Params:
    """`settings`, and `prepare` at the scale they say; of processes that train together the first one prepares."""
    made, scale = settings(layout, path, name, profile, steps)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the others are started by the first, once it is here
        rows = prepare(layout, training, validation, scale)
        sides = [row.split for row in rows]
        print(f"{sides.count('train')} pictures to train on, {sides.count('validation')} to validate, at x{scale}")
    return made


def score(images: Path, low: Path | None, scale: int, model: str) -> Table:
    """The published scores of `model`, `bicubic` or a folder of weights, on the pictures in `images`.

    Low-resolution pictures come from the folder `low`, or from beside the originals, or are made here; see
    `picture_folder.paired`. Raises `StepError` naming every picture that cannot be scored.
    """
    upscale, found = _upscale(model, scale), paired(images, low, scale)
    rows, problems = [], []
    for picture in found:
        try:
            *measured, _ = published.score(upscale, *read_pair(picture, scale), scale)
            rows.append(PictureScore(picture.name, *measured))
        except UnusablePicture as error:
            problems.append(f"{picture.path}: {error}")
    refuse(problems)
    return Table(model, scale, "found" if found[0].low else "made here", tuple(rows))


def _upscale(model: str, scale: int) -> Upscale:
    if model == BICUBIC:
        return bicubic_upscale(scale)
    network, config = load_weights(Path(model))
    if config["network"].get("scale") != scale:
        found = config["network"].get("scale", "none")
        raise StepError(f"{model}: expected a network of scale {scale}, found {found}. Ask for that --scale.")
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")
    return lambda image: sharpen_tiled(network, image, scale, TILE, OVERLAP, half=False)  # as papers compute


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    return report(lambda: _prepared(chosen) if chosen.task == "prepare" else _scored(chosen))


def _prepared(chosen: argparse.Namespace) -> list[str]:
    layout = Layout(chosen.into)
    rows = prepare(layout, chosen.images, chosen.validation, chosen.scale)
    return [f"{len(rows)} pictures prepared in {layout.super_resolution}"]


def _scored(chosen: argparse.Namespace) -> list[str]:
    table = score(chosen.images, chosen.low, chosen.scale, chosen.model)
    return [json.dumps(table.as_dict(), indent=2)] if chosen.json else list(table.lines())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.natural", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    preparing, scoring = tasks.add_parser("prepare"), tasks.add_parser("score")
    for one in (preparing, scoring):
        one.add_argument("--images", type=Path, required=True, help="a folder of PNG or JPEG pictures")
        one.add_argument("--scale", type=int, default=4, choices=(2, 3, 4, 8))
    preparing.add_argument("--validation", type=Path, required=True)
    preparing.add_argument("--into", type=Path, required=True, help="the folder to train in")
    scoring.add_argument("model", help="bicubic, or a folder of weights")
    scoring.add_argument("--low", type=Path, help="their low-resolution twins")
    scoring.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
