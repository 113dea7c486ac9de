"""Tables of means: by method, by patient, by modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from components.evidence_rows import GroupScore, MethodSummary, SampleScore
from components.learning.intervals import patient_bootstrap


def summarise(rows: Sequence[SampleScore], samples: int, seed: int) -> list[MethodSummary]:
    """One line a method, the highest mean PSNR first. `rows` hold every method on the same images, bicubic too."""
    bicubic = of_method(rows, "bicubic")
    found = [_summary(method, of_method(rows, method), bicubic, samples, seed) for method in methods_of(rows)]
    return sorted(found, key=lambda line: -line.psnr_db_mean)


def grouped(rows: Sequence[SampleScore], key: Callable[[SampleScore], str]) -> list[GroupScore]:
    """One line for each method in each group that `key` makes of the images, groups by name."""
    found = []
    for group in sorted({key(row) for row in rows}):
        own = [row for row in rows if key(row) == group]
        bicubic = of_method(own, "bicubic")
        found += [_group(group, method, of_method(own, method), bicubic) for method in methods_of(own)]
    return found


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
    gains = psnr_db - _column(bicubic, "psnr_db")
    interval = partial(_interval, patients=patients, samples=samples, seed=seed)
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
        **_spread("psnr_db", psnr_db, interval(psnr_db)),
        **_spread("ssim", similarity, interval(similarity)),
        **means,  # type: ignore[arg-type]
        error_beyond_max=float(_column(rows, "error_beyond").max()),
        consistency_worst_db_min=float(worst.min()),
        consistency_gain_db_min=float((worst - _column(bicubic, "consistency_worst_db")).min()),
        psnr_gain_db=float(gains.mean()),
        **dict(zip(("psnr_gain_db_low", "psnr_gain_db_high"), interval(gains), strict=True)),
    )


def _spread(name: str, values: np.ndarray, interval: tuple[float, float]) -> dict[str, float]:
    ends = {"min": values.min(), "mean": values.mean(), "max": values.max(), "low": interval[0], "high": interval[1]}
    return {f"{name}_{end}": float(value) for end, value in ends.items()}


def _interval(values: np.ndarray, patients: Sequence[str], samples: int, seed: int) -> tuple[float, float]:
    return patient_bootstrap(lambda drawn: float(values[drawn].mean()), patients, samples, seed)


def _column(rows: Sequence[SampleScore], name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows])


def _mean(rows: Sequence[SampleScore], name: str) -> float | None:
    """Over the images that have the value; `None` where none has."""
    values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
    return float(np.mean(values)) if values else None


def _group(group: str, method: str, rows: list[SampleScore], bicubic: list[SampleScore]) -> GroupScore:
    psnr_db = _column(rows, "psnr_db")
    return GroupScore(
        group=group,
        modality=", ".join(sorted({row.modality for row in rows})),
        method=method,
        n=len(rows),
        patients=len({row.patient_id for row in rows}),
        psnr_db_mean=float(psnr_db.mean()),
        ssim_mean=float(_column(rows, "ssim").mean()),
        psnr_gain_db=float((psnr_db - _column(bicubic, "psnr_db")).mean()),
    )
