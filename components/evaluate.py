"""Scores every method on the held-out patients: `python -m components.evaluate` writes the tables and pictures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from components.evidence import spectrum
from components.evidence.averaging import for_json
from components.evidence.compared_methods import Method, compared_methods
from components.evidence.comparing import compare
from components.evidence.cost import Meter
from components.evidence.perceptual import load_lpips
from components.evidence.policy import best_generator
from components.evidence.scoring import Protocol, Scored, score_all
from components.evidence.showing import Shown, choose_samples, show
from components.evidence.summarising import grouped, methods_of, perfect_note, summarise
from components.handover import Layout, columns_of, write_json, write_rows
from components.handover.methods import CHAMPION, LEADER
from components.handover.names import PICTURES
from components.handover.sr_rows import (
    Comparison,
    CostLine,
    GroupScore,
    MethodSummary,
    ProfilePoint,
    SampleScore,
    SpectrumPoint,
)
from components.learning.datasets.pairs import held_out_digest, iterate_pairs, rows_of
from components.learning.device import best_device
from components.learning.metrics.image_quality import crop_border
from components.params import Params, scale_of
from components.params.run_step import run_step

METRICS = (  # of `sr_metrics.json`
    *("psnr_db_mean", "psnr_db_low", "psnr_db_high", "psnr_gain_db", "psnr_gain_db_low", "psnr_gain_db_high"),
    *("ssim_mean", "ssim_low", "ssim_high", "consistency_db_mean", "error_beyond_mean"),
)


def run(layout: Layout, params: Params) -> list[MethodSummary]:
    """Writes the `sr_*` tables, `champion.json` and the pictures; gives the summary, best first."""
    device = best_device()
    scale = scale_of(params)
    methods, champion, left_out = compared_methods(layout, rows_of(layout.super_resolution, "test"), scale, device)
    for line in left_out:
        print(f"left out: {line}")
    distance = load_lpips(params.evaluate.lpips_alexnet, device)
    digest = held_out_digest(layout.super_resolution)
    protocol = Protocol(scale, params.prepare.degradation, device, distance, digest)
    meter = Meter(device)
    with tempfile.TemporaryDirectory(prefix="medsr-evaluate-") as folder:
        rows = _score(layout, methods, protocol, meter, Path(folder))
        summary = write_tables(layout, rows, params.evaluate.bootstrap_samples, params.seed)
        _show(layout, rows, best_generator(summary).method, params.evaluate.pictures, scale, Path(folder))
    write_rows(layout.sr_cost, CostLine, meter.lines(methods, params.evaluate.watts))
    write_json(layout.champion_report, champion)
    return summary


def _score(layout: Layout, methods: list[Method], protocol: Protocol, meter: Meter, folder: Path) -> list[SampleScore]:
    """Scores all methods, writes their mean spectra, and leaves the sharpened images in `folder`."""
    rows: list[SampleScore] = []
    power: list[Tensor] = []
    for scored in score_all(iterate_pairs(layout.super_resolution, "test", protocol.scale), methods, protocol, meter):
        rows += scored.rows
        power.append(_power(scored, protocol))
        np.save(folder / scored.sample, scored.images[:, 0].numpy())
        print(_progress(scored))
    names = ["original", *methods_of(rows)]
    write_rows(layout.sr_spectrum, SpectrumPoint, _spectra(names, torch.stack(power)))
    return rows


def _power(scored: Scored, protocol: Protocol) -> Tensor:
    """Radial power in decibels of the original's mean power, `(1 + M, BINS)`: the original, then every method."""
    images = torch.cat([scored.pair.high[None], scored.images]).to(protocol.device)
    inner = crop_border(images, protocol.scale)
    height, width = inner.shape[-2:]
    power = torch.cat([spectrum.radial_power(spectrum.transform(image[None]), height, width) for image in inner])
    return 10 * torch.log10(power / power[0].nanmean()).cpu()


def _spectra(names: list[str], power: Tensor) -> Iterator[SpectrumPoint]:
    """Means over the images, `power` `(N, 1 + M, BINS)`; a small image has no frequency in some rings."""
    mean = torch.where(torch.isfinite(power), power, torch.nan).nanmean(0)
    for name, values in zip(names, mean.tolist(), strict=True):
        for frequency, value in zip(spectrum.ring_centres(), values, strict=True):
            if np.isfinite(value):
                yield SpectrumPoint(method=name, frequency=frequency, power_db=value)


def _show(layout: Layout, rows: list[SampleScore], leader: str, count: int, scale: int, folder: Path) -> None:
    shutil.rmtree(layout.pictures, ignore_errors=True)
    layout.pictures.mkdir(parents=True)
    ranks, methods = choose_samples(rows, leader, count), methods_of(rows)
    shown: dict[str, Shown] = {}
    for number, pair in enumerate(iterate_pairs(layout.super_resolution, "test", scale), start=1):
        sample = f"S{number}"
        if sample in ranks:
            images = dict(zip(methods, np.load(folder / f"{sample}.npy"), strict=True))
            shown[sample] = show(layout.pictures, sample, ranks[sample], pair, scale, images)
    ordered = [shown[sample] for sample in ranks]
    write_json(layout.pictures / PICTURES, [sample.record for sample in ordered])
    write_rows(layout.sr_profiles, ProfilePoint, (point for sample in ordered for point in sample.profile))


def write_tables(layout: Layout, rows: list[SampleScore], samples: int, seed: int) -> list[MethodSummary]:
    """Writes the tables that follow from `rows`; gives the summary, best first. `samples`: bootstraps per interval."""
    summary = summarise(rows, samples, seed)
    opponents = {"bicubic": "bicubic", LEADER: best_generator(summary).method}
    if any(line.method == CHAMPION for line in summary):
        opponents[CHAMPION] = CHAMPION
    write_rows(layout.sr_samples, SampleScore, rows)
    write_rows(layout.sr_summary, MethodSummary, summary)
    metrics = columns_of(summary, "method", METRICS)
    write_json(layout.sr_metrics, {method: for_json(scores) for method, scores in metrics.items()})
    write_rows(layout.sr_comparisons, Comparison, compare(rows, opponents, samples, seed))
    write_rows(layout.sr_patients, GroupScore, grouped(rows, lambda row: row.patient_id))
    write_rows(layout.sr_modalities, GroupScore, grouped(rows, lambda row: row.modality))
    return summary


def _progress(scored: Scored) -> str:
    return f"{scored.sample} {scored.pair.row.modality}: " + "  ".join(
        f"{row.method} {row.psnr_db:.2f}" for row in scored.rows
    )


def _line(summary: MethodSummary) -> str:
    return (
        f"{summary.method:<9} PSNR {summary.psnr_db_mean:6.2f} dB  SSIM {summary.ssim_mean:.4f}  over bicubic "
        f"{summary.psnr_gain_db:+.2f} dB [{summary.psnr_gain_db_low:+.2f}, {summary.psnr_gain_db_high:+.2f}]  "
        f"error beyond the input {summary.error_beyond_mean:.2f}"
    ) + perfect_note(summary)


def main() -> int:
    return run_step(lambda layout, settings: map(_line, run(layout, settings)))


if __name__ == "__main__":
    raise SystemExit(main())
