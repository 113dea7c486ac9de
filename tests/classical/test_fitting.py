from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from components.classical import fitting
from components.classical.fitting import FeatureSet, fit
from components.handover import StepError
from components.learning.metrics.ranking import auroc
from components.params.trainings import ClassicalTraining

SETTINGS = ClassicalTraining(
    "classical",
    "handmade",
    "none",
    select=6,
    components=0.9,
    model="svm",
    candidates=(0.3, 3),
    folds=3,
    sensitivity=0.9,
)
TREE = replace(SETTINGS, model="tree", candidates=(2.0, 4.0), components=0.0)


def drawn(count: int, seed: int) -> FeatureSet:
    """Ten features, of which the first two tell the label; two images a patient."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) // 2 % 2 == 1
    features = random.normal(size=(count, 10))
    features[:, :2] += 1.5 * truth[:, None]
    features[:, 9] = 7.0  # a constant tells nothing and breaks nothing
    return FeatureSet(features, truth, [f"P{number // 2}" for number in range(count)])


@pytest.mark.parametrize("settings", [SETTINGS, TREE, replace(SETTINGS, components=3.0), replace(SETTINGS, select=0)])
def test_a_head_reads_as_scikit_learn_does(settings: ClassicalTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    pipelines = []
    make_head = fitting._head
    monkeypatch.setattr(fitting, "_head", lambda *both: pipelines.append(both[0]) or make_head(*both))
    validation, test = drawn(40, 1), drawn(60, 2)
    fitted = fit(drawn(80, 0), validation, settings, 0)
    calibrated = CalibratedClassifierCV(FrozenEstimator(pipelines[0]), method="sigmoid")
    expected = calibrated.fit(validation.features, validation.truth).predict_proba(test.features)[:, 1]
    np.testing.assert_allclose(fitted.head.probabilities(test.features), expected, rtol=1e-9)


def test_what_tells_the_label_is_selected_and_the_best_candidate_chosen() -> None:
    fitted = fit(drawn(80, 0), drawn(40, 1), replace(SETTINGS, select=2), 0)
    assert fitted.head.selected.tolist() == [0, 1]
    best = max(fitted.candidate_scores, key=lambda line: line["cross_validated_auroc"])
    assert fitted.chosen == best["C"] and [line["C"] for line in fitted.candidate_scores] == [0.3, 3]
    test = drawn(200, 3)
    assert auroc(test.truth, fitted.head.probabilities(test.features)) > 0.85


def test_a_patient_lies_in_one_fold_alone() -> None:
    """Features that name the patient tell nothing of another: leaking folds would score them perfectly."""
    random = np.random.default_rng(0)
    features = random.normal(size=(30, 6)).repeat(4, 0)
    truth = (np.arange(30) % 2 == 1).repeat(4)
    named = FeatureSet(features, truth, [f"P{number // 4}" for number in range(120)])
    fitted = fit(named, named, replace(SETTINGS, select=0, candidates=(10.0,)), 0)
    assert fitted.candidate_scores[0]["cross_validated_auroc"] < 0.8


def test_too_few_patients_of_a_class_are_refused() -> None:
    few = drawn(80, 0)
    few = replace(
        few, patients=["P0" if positive else patient for positive, patient in zip(few.truth, few.patients, strict=True)]
    )
    with pytest.raises(StepError, match="at least 3 training patients with the finding, found 1, one a fold"):
        fit(few, drawn(40, 1), SETTINGS, 0)


@pytest.mark.parametrize(("select", "components", "most"), [(6, 7.0, 6), (0, 11.0, 10)])
def test_more_components_than_there_can_be_are_refused(select: int, components: float, most: int) -> None:
    with pytest.raises(StepError, match=f"at most {most} components.*found {components:.0f}. Lower components"):
        fit(drawn(80, 0), drawn(40, 1), replace(SETTINGS, select=select, components=components), 0)
    few = drawn(12, 0)
    with pytest.raises(StepError, match="at most 8 components, for 10 features of 12 training images in 3 folds"):
        fit(few, few, replace(SETTINGS, select=0, components=9.0), 0)
