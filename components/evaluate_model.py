"""Scores one more method beside those of the project: a registered model, a folder of weights, or a folder of images.

This is `medsr evaluate --model X`. It reads the tables of `evaluate` and changes none.
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
from components.handover.names import CONFIG, TRAINED_ON, WEIGHTS
from components.handover.sr_rows import Comparison, MethodSummary, SampleScore
from components.learning.datasets.pairs import held_out_digest, iterate_pairs, rows_of
from components.learning.device import best_device
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
        """The summary for JSON, `None` in place of infinity and NaN."""
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
        test = next(row for row in self.comparisons if (row.measure, row.method) == ("psnr_db", self.name))
        yield (
            f"{self.name} against bicubic: better for {test.patients_better} of {test.patients} patients, "
            f"p = {test.p:.3g}, {test.p_holm:.3g} after Holm's correction (least possible {test.p_holm_least:.3g})"
        )


def run(layout: Layout, params: Params, model: str, name: str = "", data: Path | None = None) -> Table:
    """Scores `model` on the held-out images of `data`, by default the project's, beside the methods scored already.

    `model` is `sr-generator@ALIAS`, `sr-generator/NUMBER`, a folder of weights or its `.safetensors`, or a folder of
    images. `data` is a folder as `prepare` leaves it. Raises `StepError` naming images, a name or stored
    scores that do not fit, or patients that were trained on.
    """
    scale, folder = scale_of(params), data or layout.super_resolution
    device = best_device()
    method = _method(layout, model, name, rows_of(folder, "test"), scale, device)
    distance = load_lpips(params.evaluate.lpips_alexnet, device)
    protocol = Protocol(scale, params.prepare.degradation, device, distance, held_out_digest(folder))
    project_rows = _project_scores(layout, protocol) if data is None else []
    _check_not_taken(layout, method.name, model, project_rows)
    methods = [method] if project_rows else [bicubic_method(scale), method]
    pairs = iterate_pairs(folder, "test", scale)
    rows = [row for scored in score_all(pairs, methods, protocol) for row in scored.rows]
    if project_rows:
        rows = _joined([row for row in project_rows if row.method != method.name], rows)
    settings = params.evaluate.bootstrap_samples, params.seed
    return Table(method.name, summarise(rows, *settings), compare(rows, {"bicubic": "bicubic"}, *settings), rows)


def _joined(project_rows: list[SampleScore], added: list[SampleScore]) -> list[SampleScore]:
    """All rows, the added images in the order and under the names of `project_rows`."""
    added_rows = {(row.image_id, row.frame): row for row in added}
    samples = {(row.image_id, row.frame): row.sample for row in project_rows}
    return project_rows + [replace(added_rows[image], sample=name) for image, name in samples.items()]


def _check_not_taken(layout: Layout, name: str, model: str, project_rows: list[SampleScore]) -> None:
    """Raises `StepError` where `name` is another external method of the table; `check_name` covers reserved names."""
    external = {row.method for row in project_rows} - {*METHODS}
    if name in external and Path(model).resolve() != (layout.external_images / name).resolve():
        raise StepError(
            f"{name}: is in the table already, from {layout.external_images / name}. Give this one another --name."
        )


def _columns(method: str, *cells: str) -> str:
    return f"{method:<14}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def keep(layout: Layout, name: str, folder: Path) -> Path:
    """Copies another program's images to the project for later runs. Raises `StepError` where the folder exists."""
    target = layout.external_images / name
    if target.exists():
        raise StepError(f"{target}: is there already. Remove it, or give the method another --name.")
    shutil.copytree(folder, target)
    return target


def export_inputs(layout: Layout, params: Params, folder: Path, data: Path | None = None) -> int:
    """Writes the held-out inputs as PNG, for another program to sharpen; gives how many. `data` as in `run`."""
    return write_inputs(folder, iterate_pairs(data or layout.super_resolution, "test", scale_of(params)))


def is_images(model: str) -> bool:
    """Whether `model` is a folder of images rather than of weights."""
    path = Path(model)
    return path.is_dir() and any(file.suffix.lower() in SUFFIXES for file in path.iterdir())


def _method(layout: Layout, model: str, name: str, rows: list[PreparedRow], scale: int, device: torch.device) -> Method:
    path = Path(model)
    if is_images(model):
        return external_method(name or path.resolve().name, path, rows)
    folder, stored_name = _weights(path) if path.exists() else registry.load_version(layout, model)
    stored_name = name or stored_name
    if stored_name not in GENERATORS or folder.resolve() != layout.model(stored_name).resolve():
        check_name(stored_name)
    _check_patients_unseen(layout, folder, rows)
    return trained_method(stored_name, folder, rows, scale, device)


def _weights(path: Path) -> tuple[Path, str]:
    """The folder and name of the weights at `path`, a folder or its `.safetensors`."""
    folder = path if path.is_dir() else path.parent
    if path not in (folder, folder / WEIGHTS):
        raise StepError(f"{path}: expected {WEIGHTS}, the one name that weights have beside {CONFIG}. Rename it.")
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        raise StepError(f"{folder}: expected {WEIGHTS} beside {CONFIG}, or images ({', '.join(SUFFIXES)}); found none.")
    return folder, folder.resolve().name


def _check_patients_unseen(layout: Layout, folder: Path, rows: list[PreparedRow]) -> None:
    """Raises `StepError` naming the patients of `rows` that this project trained or validated on, or whose images the
    weights in `folder` list. Another image of such a patient is not held out either."""
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


def _project_scores(layout: Layout, protocol: Protocol) -> list[SampleScore]:
    """The project's scores of these images; empty where evaluation has not run yet.

    Raises `StepError` naming what differs: the images or their order, scale, degradation, or whether LPIPS is measured.
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
    differences = [f"{name}: {', '.join(map(str, old))} then, {new} now" for name, old, new in compared if old != {new}]
    if differences:
        raise StepError(
            f"{layout.sr_samples}: expected scores that were made as today's are. `medsr run` makes them anew.\n  "
            + "\n  ".join(differences)
        )
    return rows
