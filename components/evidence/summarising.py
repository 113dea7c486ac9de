"""Tables of means: by method, by patient, by modality."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from components.evidence.averaging import count, gains, interval, mean
from components.handover.sr_rows import GroupScore, MethodSummary, SampleScore


def summarise(rows: Sequence[SampleScore], samples: int, seed: int) -> list[MethodSummary]:
    """One line a method, the highest mean PSNR first. `rows` hold every method on the same images, bicubic too."""
    bicubic = of_method(rows, "bicubic")
    summaries = [_summary(method, of_method(rows, method), bicubic, samples, seed) for method in methods_of(rows)]
    return sorted(summaries, key=lambda line: -line.psnr_db_mean)


def grouped(rows: Sequence[SampleScore], key: Callable[[SampleScore], str]) -> list[GroupScore]:
    """One line for each method in each group of images, groups sorted by name; `key` gives the group of a row."""
    scores = []
    for group in sorted({key(row) for row in rows}):
        group_rows = [row for row in rows if key(row) == group]
        bicubic = of_method(group_rows, "bicubic")
        scores += [_group(group, method, of_method(group_rows, method), bicubic) for method in methods_of(group_rows)]
    return scores


def perfect_note(line: MethodSummary) -> str:
    """The end of a sentence: on how many images a method equals the original; empty if on none."""
    images = line.n - line.psnr_db_n
    return f"; equals the original on {images} of {line.n} images, which means of PSNR leave out" if images else ""


def methods_of(rows: Sequence[SampleScore]) -> list[str]:
    """The methods in `rows`, in the order they come."""
    return list(dict.fromkeys(row.method for row in rows))


def of_method(rows: Sequence[SampleScore], method: str) -> list[SampleScore]:
    return [row for row in rows if row.method == method]


def _summary(
    method: str, rows: list[SampleScore], bicubic: list[SampleScore], samples: int, seed: int
) -> MethodSummary:
    patients = [row.patient_id for row in rows]
    psnr_db, similarity, worst = (_column(rows, name) for name in ("psnr_db", "ssim", "consistency_worst_db"))
    gain = gains(psnr_db, _column(bicubic, "psnr_db"))
    bounds = partial(interval, patients=patients, samples=samples, seed=seed)
    means = {
        f"{name}_mean": _mean(rows, name)
        for name in (
            *("psnr_body_db", "ssim_body", "ms_ssim", "lpips", "edge_error"),
            *("error_low", "error_middle", "error_beyond", "energy_beyond", "consistency_db"),
        )
    }
    return MethodSummary(
        method=method,
        n=len(rows),
        patients=len(set(patients)),
        psnr_db_n=count(psnr_db),
        **_spread("psnr_db", psnr_db, bounds(psnr_db)),
        **_spread("ssim", similarity, bounds(similarity)),
        psnr_body_db_n=count(_column(rows, "psnr_body_db")),
        ssim_body_n=count(_column(rows, "ssim_body")),
        **means,  # type: ignore[arg-type]
        error_beyond_max=float(_column(rows, "error_beyond").max()),
        error_beyond_worst_max=float(_column(rows, "error_beyond_worst").max()),
        consistency_worst_db_min=float(worst.min()),
        consistency_gain_db_min=float(gains(worst, _column(bicubic, "consistency_worst_db")).min()),
        psnr_gain_db=mean(gain),
        **dict(zip(("psnr_gain_db_low", "psnr_gain_db_high"), bounds(gain), strict=True)),
    )


def _spread(name: str, values: np.ndarray, bounds: tuple[float, float]) -> dict[str, float]:
    statistics = {"min": values.min(), "mean": mean(values), "max": values.max(), "low": bounds[0], "high": bounds[1]}
    return {f"{name}_{statistic}": float(value) for statistic, value in statistics.items()}


def _column(rows: Sequence[SampleScore], name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows])


def _mean(rows: Sequence[SampleScore], name: str) -> float | None:
    """The mean over the images that have the value, `None` without any. Only infinite decibels are left out."""
    values = np.array([value for row in rows if (value := getattr(row, name)) is not None])
    if not len(values):
        return None
    infinite = "_db" not in name and bool(np.isinf(values).any())
    return math.inf if infinite else mean(values)


def _group(group: str, method: str, rows: list[SampleScore], bicubic: list[SampleScore]) -> GroupScore:
    psnr_db = _column(rows, "psnr_db")
    return GroupScore(
        group=group,
        modality=", ".join(sorted({row.modality for row in rows})),
        method=method,
        n=len(rows),
        patients=len({row.patient_id for row in rows}),
        psnr_db_mean=mean(psnr_db),
        ssim_mean=float(_column(rows, "ssim").mean()),
        psnr_gain_db=mean(gains(psnr_db, _column(bicubic, "psnr_db"))),
    )
