"""Bootstrap intervals. Patients are drawn, not images: images of one patient are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def patient_bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], patients: Sequence[str], samples: int, seed: int
) -> tuple[float, float]:
    """The 95 % percentile interval of `statistic`, patients drawn with replacement (Efron & Tibshirani 1993).

    `statistic` takes the indices of the drawn patients' images; a patient drawn twice is in there twice. Draws where it
    is NaN are left out. If it is NaN in every draw, so are both ends.
    """
    random = np.random.default_rng(seed)
    names = np.asarray(patients)
    groups = [np.flatnonzero(names == patient) for patient in dict.fromkeys(patients)]  # their order decides the draws
    values = []
    for _ in range(samples):
        drawn = random.integers(len(groups), size=len(groups))
        values.append(statistic(np.concatenate([groups[i] for i in drawn])))
    defined = np.asarray(values)[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
