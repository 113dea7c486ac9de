"""A classifier's measures on held-out images, with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.evidence.bootstrap import patient_bootstrap
from components.learning.metrics.ranking import auroc, average_precision, calibration_error

Probabilities = NDArray[np.floating]
Measure = Callable[[NDArray[np.int64]], float]  # takes the indices of the drawn images


@dataclass(frozen=True)
class Predictions:
    """The held-out images as one classifier reads them."""

    classifier: str
    truth: NDArray[np.bool_]
    probabilities: Probabilities
    threshold: float
    patients: list[str]
    seconds: float  # of its training

    @property
    def called(self) -> NDArray[np.bool_]:
        return np.asarray(self.probabilities >= self.threshold)


def measures(predicted: Predictions) -> dict[str, Measure]:
    """Every measure of a classifier, as a function of the indices of the drawn images."""
    truth, called, probabilities = predicted.truth, predicted.called, predicted.probabilities
    return {
        "accuracy": lambda i: share_of(truth[i] == called[i]),
        "sensitivity": lambda i: share_of(called[i][truth[i]]),
        "specificity": lambda i: share_of(~called[i][~truth[i]]),
        "auroc": lambda i: auroc(truth[i], probabilities[i]),
        "average_precision": lambda i: average_precision(truth[i], probabilities[i]),
        "calibration_error": lambda i: calibration_error(truth[i], probabilities[i]),
    }


def with_intervals(statistics: dict[str, Measure], patients: list[str], samples: int, seed: int) -> dict[str, float]:
    """Each measure under its name, with the ends of its interval under `<name>_low` and `<name>_high`.

    The same patients are drawn for every measure and every classifier, so that differences are paired.
    """
    scores: dict[str, float] = {}
    for name, measure in statistics.items():
        low, high = patient_bootstrap(measure, patients, samples, seed)
        scores |= {name: measure(np.arange(len(patients))), f"{name}_low": low, f"{name}_high": high}
    return scores


def share_of(values: NDArray[np.bool_]) -> float:
    """The share of `values` (N,) that is true; NaN where there are none."""
    return float(values.mean()) if len(values) else float("nan")


def confusion(predicted: Predictions) -> dict[str, int]:
    """The confusion matrix, counted in images."""
    truth, called = predicted.truth, predicted.called
    return {
        "true_positive": int((truth & called).sum()),
        "false_positive": int((~truth & called).sum()),
        "true_negative": int((~truth & ~called).sum()),
        "false_negative": int((truth & ~called).sum()),
    }
