"""Scores one more method beside those of the project: a registered model, a folder of weights, or a folder of images.

`medsr evaluate --model X` is this; the tables that `evaluate` left are read, and nothing of them is changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from components.adapters import registry
from components.evidence.averaging import for_json
from components.evidence.compared_methods import Method, bicubic_method, check_name, external_method, trained_method
from components.evidence.comparing import compare
from components.evidence.external_images import SUFFIXES, write_inputs
from components.evidence.perceptual import load_lpips
from components.evidence.scoring import Protocol, score_all
from components.evidence.summarising import perfect_note, summarise
from components.handover import GENERATORS, METHODS, Layout, PreparedRow, SplitRow, StepError, read_json, read_rows
from components.handover.names import CONFIG, WEIGHTS
from components.handover.sr_rows import Comparison, MethodSummary, SampleScore
from components.learning.datasets.pairs import held_out_digest, iterate_pairs, rows_of
from components.learning.device import best_device
from components.learning.weights import TRAINED_ON
from components.params import Params, scale_of

WIDTHS = (4, 22, 8, 8, 15, 8, 26)  # of the columns on the terminal, after the method's


@dataclass(frozen=True)
class Table:
    """Every method on the same images, best first, and each against bicubic."""

    name: str  # of the method that was added
    summary: list[MethodSummary]
    comparisons: list[Comparison]
    rows: list[SampleScore]

    def as_dicts(self) -> list[dict[str, Any]]:
        """The summary as JSON can hold it: nothing in place of what is infinite or not defined."""
        return [for_json(asdict(line)) for line in self.summary]

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        titles = ("method", "n", "PSNR min – max (dB)", "mean", "SSIM", "consistency (dB)", "beyond", "gain (dB)")
        yield _columns(*titles)
        for line in self.summary:
            gain = f"{line.psnr_gain_db:+.2f} [{line.psnr_gain_db_low:+.2f}, {line.psnr_gain_db_high:+.2f}]"
            yield _columns(
                *(line.method, str(line.n), f"{line.psnr_db_min:.2f} – {line.psnr_db_max:.2f}"),
                *(f"{line.psnr_db_mean:.2f}", f"{line.ssim_mean:.4f}", f"{line.consistency_db_mean:.2f}"),
                *(f"{line.error_beyond_mean:.3f}", gain if line.method != "bicubic" else ""),
            )
        yield from (line.method + perfect_note(line) for line in self.summary if perfect_note(line))
        own = next(one for one in self.comparisons if (one.measure, one.method) == ("psnr_db", self.name))
        yield (
            f"{self.name} against bicubic: better for {own.patients_better} of {own.patients} patients, "
            f"p = {own.p:.3g}, {own.p_holm:.3g} after Holm's correction (least possible {own.p_holm_least:.3g})"
        )


def run(layout: Layout, params: Params, model: str, name: str = "", data: Path | None = None) -> Table:
    """Scores `model` on the held-out images of `data`, by default the project's, beside what is scored there already.

    `model` is `sr-generator@ALIAS`, `sr-generator/NUMBER`, a folder of weights or its `.safetensors`, or a folder of
    images. `data` is a folder as `prepare` leaves it. Raises `StepError` naming what does not fit: images, name, the
    scores that are there already, patients that were learned from.
    """
    scale, folder = scale_of(params), data or layout.super_resolution
    device = best_device()
    added = _contestant(layout, model, name, rows_of(folder, "test"), scale, device)
    distance = load_lpips(params.evaluate.lpips_alexnet, device)
    protocol = Protocol(scale, params.prepare.degradation, device, distance, held_out_digest(folder))
    before = _scored_before(layout, protocol) if data is None else []
    _check_not_taken(layout, added.name, model, before)
    entered = [added] if before else [bicubic_method(scale), added]
    pairs = iterate_pairs(folder, "test", scale)
    rows = [row for scored in score_all(pairs, entered, protocol) for row in scored.rows]
    if before:
        rows = _joined([row for row in before if row.method != added.name], rows)
    settings = params.evaluate.bootstrap_samples, params.seed
    return Table(added.name, summarise(rows, *settings), compare(rows, {"bicubic": "bicubic"}, *settings), rows)


def _joined(before: list[SampleScore], added: list[SampleScore]) -> list[SampleScore]:
    """Both, images in the order and under the names that they have in `before`."""
    found = {(row.image_id, row.frame): row for row in added}
    samples = {(row.image_id, row.frame): row.sample for row in before}
    return before + [replace(found[image], sample=name) for image, name in samples.items()]


def _check_not_taken(layout: Layout, name: str, model: str, before: list[SampleScore]) -> None:
    """A method of another program may stand for itself, and no other for it; ours are looked at by `check_name`."""
    others = {row.method for row in before} - {*METHODS}
    if name in others and Path(model).resolve() != (layout.external_images / name).resolve():
        raise StepError(
            f"{name}: is in the table already, from {layout.external_images / name}. Give this one another --name."
        )


def _columns(method: str, *cells: str) -> str:
    return f"{method:<14}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def keep(layout: Layout, name: str, folder: Path) -> Path:
    """Copies another program's images to where every later run finds them. Raises `StepError` where some are there."""
    place = layout.external_images / name
    if place.exists():
        raise StepError(f"{place}: is there already. Remove it, or give the method another --name.")
    shutil.copytree(folder, place)
    return place


def export_inputs(layout: Layout, params: Params, folder: Path, data: Path | None = None) -> int:
    """Writes the held-out inputs as PNG, for another program to sharpen; gives how many. `data` as in `run`."""
    return write_inputs(folder, iterate_pairs(data or layout.super_resolution, "test", scale_of(params)))


def is_images(model: str) -> bool:
    """Whether `model` is a folder of images rather than of weights."""
    path = Path(model)
    return path.is_dir() and any(file.suffix.lower() in SUFFIXES for file in path.iterdir())


def _contestant(
    layout: Layout, model: str, name: str, rows: list[PreparedRow], scale: int, device: torch.device
) -> Method:
    path = Path(model)
    if is_images(model):
        return external_method(name or path.resolve().name, path, rows)
    folder, called = _weights(path) if path.exists() else registry.load_version(layout, model)
    called = name or called
    if called not in GENERATORS or folder.resolve() != layout.model(called).resolve():
        check_name(called)
    _check_patients_unseen(layout, folder, rows)
    return trained_method(called, folder, rows, scale, device)


def _weights(path: Path) -> tuple[Path, str]:
    """The folder of weights that `path` is, or is the `.safetensors` of, and its name."""
    folder = path if path.is_dir() else path.parent
    if path not in (folder, folder / WEIGHTS):
        raise StepError(f"{path}: expected {WEIGHTS}, the one name that weights have beside {CONFIG}. Rename it.")
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        raise StepError(f"{folder}: expected {WEIGHTS} beside {CONFIG}, or images ({', '.join(SUFFIXES)}); found none.")
    return folder, folder.resolve().name


def _check_patients_unseen(layout: Layout, folder: Path, rows: list[PreparedRow]) -> None:
    """Raises `StepError` naming the patients of `rows` that this project trained or validated on, or whose images the
    weights in `folder` list. Another image of a patient who was learned from is not held out either."""
    if not layout.splits.is_file():
        return
    listed = set(read_json(folder / CONFIG).get(TRAINED_ON, ()))
    learned = {
        row.patient_id
        for row in read_rows(layout.splits, SplitRow)
        if row.split in ("train", "validation") or row.image_id in listed
    }
    seen = sorted(learned & {row.patient_id for row in rows})
    if seen:
        raise StepError(
            f"{folder}: expected patients that no training saw, found {', '.join(seen)}, whose images are in "
            f"{layout.splits} or {CONFIG}. Score it on others."
        )


def _scored_before(layout: Layout, protocol: Protocol) -> list[SampleScore]:
    """The project's own scores, where they are of these images; none where evaluation has not run yet.

    Raises `StepError` naming what differs, where they are of other images or in another order, of another scale or
    degradation, or where LPIPS was measured then and cannot be now, or the other way round.
    """
    if not layout.sr_samples.is_file():
        return []
    rows = read_rows(layout.sr_samples, SampleScore)
    compared = (
        ("held-out images", {row.held_out_sha256 for row in rows}, protocol.held_out_sha256),
        ("scale", {row.scale for row in rows}, protocol.scale),
        ("degradation", {row.degradation for row in rows}, protocol.degradation),
        ("LPIPS at hand", {any(row.lpips is not None for row in rows)}, protocol.distance is not None),
    )
    other = [f"{what}: {', '.join(map(str, then))} then, {now} now" for what, then, now in compared if then != {now}]
    if other:
        raise StepError(
            f"{layout.sr_samples}: expected scores that were made as today's are. `medsr run` makes them anew.\n  "
            + "\n  ".join(other)
        )
    return rows
