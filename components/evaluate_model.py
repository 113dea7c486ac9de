"""Scores one more method beside those of the project: a registered model, a folder of weights, or a folder of images.

`medsr evaluate --model X` is this; the tables that `evaluate` left are read, and nothing of them is changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from components.adapters import registry
from components.evidence.comparing import compare
from components.evidence.contestants import Contestant, bicubic, outside_one, trained
from components.evidence.outside import SUFFIXES, write_inputs
from components.evidence.perceptual import load_lpips
from components.evidence.scoring import Protocol, score_all
from components.evidence.summarising import summarise
from components.evidence_rows import Comparison, MethodSummary, SampleScore
from components.handover import Layout, StepError, read_rows
from components.learning.patches import iterate_pairs, rows_of
from components.learning.scoring import scale_of
from components.learning.weights import CONFIG, WEIGHTS
from components.params import Params

WIDTHS = (4, 22, 8, 8, 15, 8, 26)  # of the columns on the terminal, after the method's


@dataclass(frozen=True)
class Table:
    """Every method on the same images, best first, and each against bicubic."""

    name: str  # of the method that was added
    summary: list[MethodSummary]
    comparisons: list[Comparison]
    rows: list[SampleScore]

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        titles = ("method", "n", "PSNR min – max (dB)", "mean", "SSIM", "faithful (dB)", "beyond", "gain (dB)")
        yield _columns(*titles)
        for line in self.summary:
            gain = f"{line.psnr_gain_db:+.2f} [{line.psnr_gain_db_low:+.2f}, {line.psnr_gain_db_high:+.2f}]"
            yield _columns(
                *(line.method, str(line.n), f"{line.psnr_db_min:.2f} – {line.psnr_db_max:.2f}"),
                *(f"{line.psnr_db_mean:.2f}", f"{line.ssim_mean:.4f}", f"{line.consistency_db_mean:.2f}"),
                *(f"{line.error_beyond_mean:.3f}", gain if line.method != "bicubic" else ""),
            )
        own = next(one for one in self.comparisons if (one.measure, one.method) == ("psnr_db", self.name))
        yield (
            f"{self.name} against bicubic: better for {own.patients_better} of {own.patients} patients, "
            f"p = {own.p:.3g}, {own.p_holm:.3g} after Holm's correction (least possible {own.p_holm_least:.3g})"
        )


def run(layout: Layout, params: Params, model: str, name: str = "", data: Path | None = None) -> Table:
    """Scores `model` on the held-out images of `data`, by default the project's, beside what is scored there already.

    `model` is `sr-generator@ALIAS`, `sr-generator/NUMBER`, a folder of weights or its `.safetensors`, or a folder of
    images. `data` is a folder as `prepare` leaves it. Raises `StepError` naming what does not fit.
    """
    scale, folder = scale_of(params), data or layout.super_resolution
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    added = _contestant(layout, model, name, folder, scale, device)
    protocol = Protocol(scale, params.prepare.degradation, device, load_lpips(params.evaluate.lpips_alexnet, device))
    before = _scored_before(layout, folder, protocol) if data is None else []
    entered = [added] if before else [bicubic(scale), added]
    pairs = iterate_pairs(folder, "test", scale)
    rows = [row for scored in score_all(pairs, entered, protocol) for row in scored.rows]
    rows = [row for row in before if row.method != added.name] + rows
    settings = params.evaluate.bootstrap_samples, params.seed
    return Table(added.name, summarise(rows, *settings), compare(rows, {"bicubic": "bicubic"}, *settings), rows)


def _columns(method: str, *cells: str) -> str:
    return f"{method:<14}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def keep(layout: Layout, name: str, folder: Path) -> Path:
    """Copies another program's images to where every later run finds them. Raises `StepError` where some are there."""
    place = layout.outside / name
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


def _contestant(layout: Layout, model: str, name: str, folder: Path, scale: int, device: torch.device) -> Contestant:
    rows, path = rows_of(folder, "test"), Path(model)
    if is_images(model):
        return outside_one(name or path.resolve().name, path, rows)
    if path.suffix == ".safetensors" and path.is_file():
        path = path.parent
    if path.is_dir():
        if not (path / WEIGHTS).is_file() or not (path / CONFIG).is_file():
            raise StepError(
                f"{path}: expected {WEIGHTS} beside {CONFIG}, or images ({', '.join(SUFFIXES)}); found none."
            )
        return trained(name or path.resolve().name, path, rows, scale, device)
    weights, called = registry.load_version(layout, model)
    return trained(name or called, weights, rows, scale, device)


def _scored_before(layout: Layout, folder: Path, protocol: Protocol) -> list[SampleScore]:
    """The project's own scores, where they are of these images; none where evaluation has not run yet.

    Raises `StepError` where they are of other images, or without LPIPS where that is at hand now.
    """
    if not layout.sr_samples.is_file():
        return []
    rows = read_rows(layout.sr_samples, SampleScore)
    wanted = {(row.image_id, row.frame) for row in rows_of(folder, "test")}
    if {(row.image_id, row.frame) for row in rows} != wanted or {row.scale for row in rows} != {protocol.scale}:
        raise StepError(f"{layout.sr_samples}: expected scores of the images in {folder}. Run `medsr run` first.")
    return rows
