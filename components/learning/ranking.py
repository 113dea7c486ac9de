"""How well scores rank positives over negatives, with numpy alone so that it serves wherever training runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def auroc(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Area under the ROC curve: the share of positive-negative pairs in right order, ties half (Mann-Whitney).

    Not a number where one of the two is missing.
    """
    positives, negatives = scores[truth], np.sort(scores[~truth])
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(negatives, positives, "left")
    at_most = np.searchsorted(negatives, positives, "right")
    return float((below + at_most).sum() / (2 * len(positives) * len(negatives)))
