"""Scores every method on the held-out patients: `python -m components.evaluate` writes the tables and pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.command import run_step
from components.handover import (
    GENERATORS,
    METHODS,
    Layout,
    MethodSummary,
    SampleScore,
    write_json,
    write_rows,
)
from components.imaging.pictures import save_error, save_grey, zoom_window
from components.learning.intervals import patient_bootstrap
from components.learning.patches import Pair, load_pairs
from components.learning.scoring import Upscale, bicubic_upscale, network_upscale, scale_of, score
from components.learning.start import check_unseen
from components.learning.weights import load_weights
from components.params import Params


def run(layout: Layout, params: Params) -> list[MethodSummary]:
    """Writes `sr_samples.csv`, `sr_summary.csv` and the pictures; gives the summary, best first."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scale = scale_of(params)
    pairs = load_pairs(layout.super_resolution, "test", scale)
    rows = _score_all(layout, params, pairs, scale, device)
    summary = summarise(rows, params.evaluate.bootstrap_samples, params.seed)
    write_rows(layout.sr_samples, SampleScore, rows)
    write_rows(layout.sr_summary, MethodSummary, summary)
    return summary


def _score_all(
    layout: Layout, params: Params, pairs: list[Pair], scale: int, device: torch.device
) -> list[SampleScore]:
    upscales: dict[str, Upscale] = {"bicubic": bicubic_upscale(scale)}
    for name in GENERATORS:
        network, config = load_weights(layout.model(name))
        check_unseen(layout.model(name), config, [pair.row for pair in pairs], "Split and train again.")
        upscales[name] = network_upscale(network, scale, device)
    rows, shown = [], []
    for number, pair in enumerate(pairs, start=1):
        found = {method: score(upscales[method], pair, scale) for method in METHODS}
        rows += [_row(f"S{number}", pair, scale, method, found[method][0]) for method in METHODS]
        if number <= params.evaluate.pictures:
            images = {method: image for method, (_, image) in found.items()}
            shown.append(_show(layout.pictures, f"S{number}", pair, scale, images, rows[-len(METHODS) :]))
        print(f"S{number} {pair.row.modality}: " + "  ".join(f"{m} {s.psnr_db:.2f}" for m, (s, _) in found.items()))
    write_json(layout.pictures / "pictures.json", shown)
    return rows


def _row(sample: str, pair: Pair, scale: int, method: str, scored: Any) -> SampleScore:
    row = pair.row
    about = (sample, row.image_id, row.frame, row.patient_id, row.modality, scale, method)
    return SampleScore(*about, **asdict(scored))


def summarise(rows: list[SampleScore], samples: int, seed: int) -> list[MethodSummary]:
    """One line a method, the highest mean PSNR first."""
    by_method = {method: [row for row in rows if row.method == method] for method in METHODS}
    summaries = [_summary(method, found, by_method["bicubic"], samples, seed) for method, found in by_method.items()]
    return sorted(summaries, key=lambda summary: -summary.psnr_db_mean)


def _summary(
    method: str, rows: list[SampleScore], bicubic: list[SampleScore], samples: int, seed: int
) -> MethodSummary:
    psnr_db, similarity = (np.array([getattr(row, name) for row in rows]) for name in ("psnr_db", "ssim"))
    gains = psnr_db - np.array([row.psnr_db for row in bicubic])
    patients = [row.patient_id for row in rows]
    low, high = patient_bootstrap(lambda drawn: float(gains[drawn].mean()), patients, samples, seed)
    return MethodSummary(
        method=method,
        n=len(rows),
        patients=len(set(patients)),
        psnr_db_min=float(psnr_db.min()),
        psnr_db_mean=float(psnr_db.mean()),
        psnr_db_max=float(psnr_db.max()),
        ssim_min=float(similarity.min()),
        ssim_mean=float(similarity.mean()),
        ssim_max=float(similarity.max()),
        psnr_body_db_mean=float(np.mean([row.psnr_body_db for row in rows])),
        ssim_body_mean=float(np.mean([row.ssim_body for row in rows])),
        psnr_gain_db=float(gains.mean()),
        psnr_gain_db_low=low,
        psnr_gain_db_high=high,
    )


def _show(
    folder: Path, sample: str, pair: Pair, scale: int, images: dict[str, Tensor], rows: list[SampleScore]
) -> dict[str, Any]:
    """Saves one sample's pictures and describes them as the report reads them."""
    original = pair.high[0].numpy()
    window = zoom_window(original, pair.body[0].numpy())
    shown = {"original": original, "input": _nearest(pair.low[0].numpy(), scale)}
    shown |= {method: image[0, 0].numpy() for method, image in images.items()}
    files: dict[str, dict[str, str]] = {}
    for name, image in shown.items():
        files[name] = {"full": f"{sample}-{name}.png", "zoom": f"{sample}-{name}-zoom.png"}
        save_grey(folder / files[name]["full"], image)
        save_grey(folder / files[name]["zoom"], window.cut(image))
        if name in images:
            files[name]["error"] = f"{sample}-{name}-error.png"
            save_error(folder / files[name]["error"], window.cut(np.abs(image - original)))
    return {
        "sample": sample,
        "image_id": pair.row.image_id,
        "modality": pair.row.modality,
        "scale": scale,
        "size": list(original.shape),
        "zoom": [window.row, window.column, window.height, window.width],
        "methods": files,
        "psnr_db": {row.method: row.psnr_db for row in rows},
        "ssim": {row.method: row.ssim for row in rows},
    }


def _nearest(low: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    return low.repeat(scale, 0).repeat(scale, 1)


def _line(summary: MethodSummary) -> str:
    return (
        f"{summary.method:<9} PSNR {summary.psnr_db_mean:6.2f} dB  SSIM {summary.ssim_mean:.4f}  over bicubic "
        f"{summary.psnr_gain_db:+.2f} dB [{summary.psnr_gain_db_low:+.2f}, {summary.psnr_gain_db_high:+.2f}]"
    )


def main() -> int:
    return run_step(lambda layout, settings: map(_line, run(layout, settings)))


if __name__ == "__main__":
    raise SystemExit(main())
