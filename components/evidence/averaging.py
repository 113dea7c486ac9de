"""Means of scores, some of which may be infinite or undefined.

The PSNR of an image that equals its original is infinite. Tables show it, and it counts as the highest score. Means
leave it out, because it hides how near the other images are; the summary tells how many scores are finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evidence.bootstrap import patient_bootstrap

Values = NDArray[np.float64]


def mean(values: Values) -> float:
    """The mean of the finite `values`. Without any, infinity where every defined value is infinite, else NaN."""
    finite = values[np.isfinite(values)]
    if len(finite):
        return float(finite.mean())
    defined = set(values[~np.isnan(values)].tolist())
    return float(defined.pop()) if len(defined) == 1 else math.nan


def gains(scores: Values, reference: Values) -> Values:
    """The paired differences `scores` − `reference`; 0 where both are infinite, for both images are perfect."""
    with np.errstate(invalid="ignore"):
        return np.where(scores == reference, 0.0, scores - reference)


def interval(values: Values, patients: Sequence[str], samples: int, seed: int) -> tuple[float, float]:
    """The 95 % bootstrap interval of `mean` over patients; both ends are the mean where no value is finite."""
    if not np.isfinite(values).any():
        return mean(values), mean(values)
    if np.isfinite(values).all():  # the usual case: a plain mean is faster over thousands of draws
        return patient_bootstrap(lambda drawn: float(values[drawn].mean()), patients, samples, seed)
    return patient_bootstrap(lambda drawn: mean(values[drawn]), patients, samples, seed)


def count(values: Values) -> int:
    """How many `values` are finite: those that `mean` averages."""
    return int(np.isfinite(values).sum())


def for_json(scores: Mapping[str, Any]) -> dict[str, Any]:
    """`scores` with `None` in place of infinity and NaN, which JSON has no number for."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in scores.items()
    }
