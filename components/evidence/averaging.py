"""Means of scores of which some are infinite, where an image equals its original, or not defined, where none is asked.

Infinite is a value: it is the highest, and stands in the tables. It says nothing of how near the other images are, so
means are over the finite ones, and the summary says how many these are.
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
    """Over the finite `values`; infinite where all that are defined are, not a number where none is."""
    finite = values[np.isfinite(values)]
    if len(finite):
        return float(finite.mean())
    defined = set(values[~np.isnan(values)].tolist())
    return float(defined.pop()) if len(defined) == 1 else math.nan


def gains(own: Values, other: Values) -> Values:
    """`own` over `other`, in pairs: none where both are infinite, both being perfect."""
    with np.errstate(invalid="ignore"):
        return np.where(own == other, 0.0, own - other)


def interval(values: Values, patients: Sequence[str], samples: int, seed: int) -> tuple[float, float]:
    """The 95 % interval of `mean`, patients drawn again; both ends the mean itself where no value is finite."""
    if not np.isfinite(values).any():
        return mean(values), mean(values)
    if np.isfinite(values).all():  # as nearly always: thousands of draws need not look
        return patient_bootstrap(lambda drawn: float(values[drawn].mean()), patients, samples, seed)
    return patient_bootstrap(lambda drawn: mean(values[drawn]), patients, samples, seed)


def count(values: Values) -> int:
    """How many `values` are finite: what `mean` is over."""
    return int(np.isfinite(values).sum())


def for_json(scores: Mapping[str, Any]) -> dict[str, Any]:
    """`scores` with nothing in place of what JSON has no number for."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in scores.items()
    }
