from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from components.evidence.classifier_scores import Predictions, confusion, measures, share_of, with_intervals

TRUTH = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
SCORES = np.array([0.9, 0.8, 0.2, 0.7, 0.3, 0.2, 0.1, 0.05])
READ = Predictions("classifier", TRUTH, SCORES, 0.5, [f"P{number // 2}" for number in range(8)], 1.0)


def test_measures_are_those_of_scikit_learn() -> None:
    scores = {name: measure(np.arange(8)) for name, measure in measures(READ).items()}
    assert scores["accuracy"] == accuracy_score(TRUTH, READ.called)
    assert scores["sensitivity"] == recall_score(TRUTH, READ.called)
    assert scores["specificity"] == recall_score(~TRUTH, ~READ.called)
    assert scores["auroc"] == pytest.approx(roc_auc_score(TRUTH, SCORES))


def test_a_score_at_the_threshold_counts_as_found() -> None:
    assert Predictions("classifier", TRUTH, SCORES, 0.7, READ.patients, 1.0).called.sum() == 3


def test_counts_add_up_to_the_images() -> None:
    counts = confusion(READ)
    assert counts == {"true_positive": 2, "false_positive": 1, "true_negative": 4, "false_negative": 1}


def test_intervals_stand_beside_their_measure_and_share_their_patients() -> None:
    scores = with_intervals(measures(READ) | {"twice": lambda i: 2 * share_of(TRUTH[i])}, READ.patients, 200, 0)
    assert scores["auroc_low"] <= scores["auroc"] <= scores["auroc_high"]
    half = with_intervals({"once": lambda i: share_of(TRUTH[i])}, READ.patients, 200, 0)
    assert scores["twice_low"] == 2 * half["once_low"] and scores["twice_high"] == 2 * half["once_high"]


def test_a_share_of_nothing_is_no_number() -> None:
    assert np.isnan(share_of(TRUTH[:0])) and share_of(TRUTH) == 3 / 8
