"""How well scores tell positives from negatives, with numpy alone so that it serves wherever training runs."""

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


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Mean precision over the positives, each at its own threshold; equal scores share one (as scikit-learn's).

    Not a number where there is no positive.
    """
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered, true_positives = scores[order], np.cumsum(truth[order])
    last = np.append(ordered[1:] != ordered[:-1], True)  # of each run of equal scores
    precision = true_positives[last] / (np.flatnonzero(last) + 1)
    recall = true_positives[last] / true_positives[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def calibration_error(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], bins: int = 10) -> float:
    """Expected calibration error of the positive class's probability (Naeini et al. 2015; Guo et al. 2017).

    The mean distance between a bin's mean probability and its share of positives, over `bins` bins of equal width,
    each weighted by its number of images. Not a number where there is no image.
    """
    if not len(truth):
        return float("nan")
    bin_index = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    distance = np.bincount(bin_index, weights=probabilities - truth, minlength=bins)
    return float(np.abs(distance).sum() / len(truth))
