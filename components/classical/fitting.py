"""Fits a head to features: selection, principal components, and an SVM or a tree tuned by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from components.classical.head import Head, SupportVectors, Tree
from components.handover import StepError
from components.params.trainings import ClassicalTraining

Values = NDArray[np.float64]
CALIBRATION_FOLDS = 2  # scikit-learn requires folds, though a frozen estimator is not fitted again in them


@dataclass(frozen=True)
class FeatureSet:
    """Features of images (N, features), whether each image shows the finding, and its patient."""

    features: Values
    truth: NDArray[np.bool_]
    patients: list[str]


@dataclass(frozen=True)
class Fitted:
    """A head, the `chosen` candidate, and each candidate's cross-validated AUROC: mean and spread over folds."""

    head: Head
    candidate_scores: list[dict[str, float]]
    chosen: float


def fit(training: FeatureSet, validation: FeatureSet, settings: ClassicalTraining, seed: int) -> Fitted:
    """Fits a head to training patients and calibrates it on validation patients. No patient is in two folds.

    Raises `StepError` where a class has fewer patients than folds, or where `components` are more than PCA can give.
    """
    _check_patients(training, settings.folds, "training", "one a fold. Add images, or lower folds in params.yaml")
    _check_patients(validation, CALIBRATION_FOLDS, "validation", "to calibrate on. Add images, or split again")
    _check_components(training, settings)
    parameter = {"svm": "C", "tree": "max_depth"}[settings.model]
    candidates = list(settings.candidates) if settings.model == "svm" else [int(depth) for depth in settings.candidates]
    search = GridSearchCV(
        _pipeline(settings, training.features.shape[1], seed),
        {f"decide__{parameter}": candidates},
        scoring="roc_auc",
        cv=StratifiedGroupKFold(settings.folds, shuffle=True, random_state=seed),
    ).fit(training.features, training.truth, groups=training.patients)
    results = search.cv_results_
    candidate_scores = [
        {parameter: float(candidate), "cross_validated_auroc": float(mean), "cross_validated_auroc_std": float(std)}
        for candidate, mean, std in zip(candidates, results["mean_test_score"], results["std_test_score"], strict=True)
    ]
    head = _head(search.best_estimator_, validation)
    return Fitted(head, candidate_scores, float(search.best_params_[f"decide__{parameter}"]))


def _check_patients(side: FeatureSet, least: int, name: str, remedy: str) -> None:
    for label, members in (("with the finding", side.truth), ("without it", ~side.truth)):
        count = len(set(compress(side.patients, members)))
        if count < least:
            raise StepError(
                f"classical training: expected at least {least} {name} patients {label}, found {count}, {remedy}."
            )


def _check_components(training: FeatureSet, settings: ClassicalTraining) -> None:
    """PCA gives no more components than there are features, or images outside a fold."""
    kept = min(settings.select or training.features.shape[1], training.features.shape[1])
    most = min(kept, len(training.truth) * (settings.folds - 1) // settings.folds)
    if settings.components > most:
        raise StepError(
            f"classical training: expected at most {most} components, for {kept} features of {len(training.truth)} "
            f"training images in {settings.folds} folds, found {settings.components:.0f}. "
            "Lower components in params.yaml."
        )


def _pipeline(settings: ClassicalTraining, features: int, seed: int) -> Pipeline:
    steps: list[tuple[str, Any]] = [("scale", StandardScaler())]
    if 0 < settings.select < features:
        steps.append(("select", SelectKBest(partial(mutual_info_classif, random_state=seed), k=settings.select)))
    if settings.components:
        components = settings.components if settings.components < 1 else int(settings.components)
        steps.append(("compress", PCA(components, svd_solver="full")))
    decide = SVC(class_weight="balanced")
    if settings.model == "tree":
        decide = DecisionTreeClassifier(class_weight="balanced", min_samples_leaf=5, random_state=seed)
    return Pipeline([*steps, ("decide", decide)])


def _head(pipeline: Pipeline, validation: FeatureSet) -> Head:
    calibrated = CalibratedClassifierCV(FrozenEstimator(pipeline), method="sigmoid", cv=CALIBRATION_FOLDS).fit(
        validation.features, validation.truth
    )
    platt = calibrated.calibrated_classifiers_[0].calibrators[0]
    selected, centre, projection = _affine(pipeline)
    decide = pipeline.named_steps["decide"]
    decision = _vectors(decide) if isinstance(decide, SVC) else _tree(decide)
    return Head(selected, centre, projection, np.asarray(platt.a_), np.asarray(platt.b_), decision)


def _affine(pipeline: Pipeline) -> tuple[NDArray[np.int64], Values, Values]:
    """The steps before the decision as a selection, a shift and a matrix."""
    scale, select = pipeline.named_steps["scale"], pipeline.named_steps.get("select")
    selected = np.arange(len(scale.mean_)) if select is None else np.flatnonzero(select.get_support())
    centre, spread = scale.mean_[selected], scale.scale_[selected]
    compress = pipeline.named_steps.get("compress")
    if compress is None:
        return selected, centre, np.diag(1 / spread)
    return selected, centre + compress.mean_ * spread, compress.components_.T / spread[:, None]


def _vectors(machine: SVC) -> SupportVectors:
    gamma = np.asarray(machine._gamma, np.float64)  # the value of gamma="scale", which no public attribute has
    return SupportVectors(machine.support_vectors_, machine.dual_coef_[0], np.asarray(machine.intercept_[0]), gamma)


def _tree(model: DecisionTreeClassifier) -> Tree:
    tree = model.tree_
    leaf, nodes = tree.children_left < 0, np.arange(tree.node_count)
    share = tree.value[:, 0, 1] / tree.value[:, 0].sum(1)
    below, above = np.where(leaf, nodes, tree.children_left), np.where(leaf, nodes, tree.children_right)
    return Tree(np.where(leaf, 0, tree.feature), tree.threshold, below, above, share)
