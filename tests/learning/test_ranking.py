import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.learning.ranking import auroc


def test_auroc_agrees_with_scikit_learn_ties_included() -> None:
    random = np.random.default_rng(3)
    truth, scores = random.random(200) < 0.4, random.integers(0, 12, 200) / 12
    assert auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_one_class_has_no_auroc() -> None:
    assert np.isnan(auroc(np.ones(3, bool), np.arange(3.0)))
