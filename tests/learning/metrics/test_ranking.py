import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from components.learning.metrics.ranking import auroc, average_precision, calibration_error


def test_auroc_agrees_with_scikit_learn_ties_included() -> None:
    random = np.random.default_rng(3)
    truth, scores = random.random(200) < 0.4, random.integers(0, 12, 200) / 12
    assert auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_one_class_has_no_auroc() -> None:
    assert np.isnan(auroc(np.ones(3, bool), np.arange(3.0)))


def test_average_precision_agrees_with_scikit_learn_ties_included() -> None:
    random = np.random.default_rng(4)
    truth, scores = random.random(300) < 0.3, random.integers(0, 20, 300) / 20
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))
    assert np.isnan(average_precision(np.zeros(3, bool), np.arange(3.0)))


def test_calibration_error_is_the_weighted_distance_of_bins() -> None:
    probabilities, truth = np.array([0.95, 0.95, 0.95, 0.95, 0.15, 0.15]), np.array([1, 1, 1, 0, 0, 1], bool)
    assert calibration_error(truth, probabilities) == pytest.approx((4 * abs(0.95 - 0.75) + 2 * abs(0.15 - 0.5)) / 6)
    assert calibration_error(np.array([True, False]), np.array([1.0, 0.0])) == 0
