"""Tables of classifiers, from probabilities that are known and from a trained project."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from components import evaluate_classifiers
from components.classical.any_classifier import load_any_classifier
from components.evidence.classifier_scores import Predictions
from components.handover import LabelledRow, Layout, StepError, read_json, read_rows, write_json
from components.handover.classifier_rows import (
    CURVES,
    ClassifierSummary,
    CurvePoint,
    Prediction,
    SharpenedClassification,
)
from components.handover.methods import CLASSIFIERS, SHOWN
from components.learning.datasets.labelled import LabelledImages, load_labelled
from tests.settings import small

COUNT = 60


def predicted(name: str, noise: float, seed: int = 0) -> Predictions:
    """A classifier of sixty images of thirty patients that sees the truth through `noise`."""
    random = np.random.default_rng(seed)
    truth = np.arange(COUNT) % 2 == 1
    scores = 1 / (1 + np.exp(-(truth - 0.5 + random.normal(0, noise, COUNT)) * 4))
    return Predictions(name, truth, scores, 0.5, [f"P{i // 2}" for i in range(COUNT)], 1.0)


def test_classifiers_are_ordered_by_auroc_and_compared_with_the_first_given() -> None:
    good, bad = predicted("classical_svm", 0.2), predicted("classifier", 1.0, seed=1)
    lines = evaluate_classifiers.summarise([bad, good], 200, 0)
    assert [line.classifier for line in lines] == ["classical_svm", "classifier"]
    better, baseline = lines
    assert better.auroc == pytest.approx(roc_auc_score(good.truth, good.probabilities))
    assert better.average_precision == pytest.approx(average_precision_score(good.truth, good.probabilities))
    assert better.auroc_gain == pytest.approx(better.auroc - baseline.auroc)
    assert 0 < better.auroc_gain_low <= better.auroc_gain <= better.auroc_gain_high
    assert (baseline.auroc_gain, baseline.auroc_gain_low, baseline.auroc_gain_high) == (0, 0, 0)
    assert better.patients == 30 and better.n == COUNT


def test_the_classifier_report_counts_what_it_says() -> None:
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    scores = np.array([0.9, 0.8, 0.2, 0.7, 0.3, 0.2, 0.1, 0.05])
    rows = [LabelledRow(image_id=str(i), patient_id=f"P{i}", label="", split="test", simulated=True) for i in range(8)]
    images = LabelledImages(torch.zeros(8, 1, 2, 2), torch.from_numpy(truth.astype(np.int64)), rows)
    predictions = Predictions("classifier", truth, scores, 0.5, [row.patient_id for row in rows], 1.0)
    lines = evaluate_classifiers.summarise([predictions], 200, 0)
    report = evaluate_classifiers.classifier_report(predictions, lines, images, ("normal", "heart_failure"))
    assert report["confusion"] == {"true_positive": 2, "false_positive": 1, "true_negative": 4, "false_negative": 1}
    assert report["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert report["specificity"]["value"] == pytest.approx(4 / 5)
    assert report["accuracy"]["value"] == pytest.approx(6 / 8)
    assert report["accuracy"]["low"] <= report["accuracy"]["value"] <= report["accuracy"]["high"]
    assert report["positive"] == "heart_failure" and report["simulated"] is True


def test_curves_run_from_corner_to_corner() -> None:
    points = list(evaluate_classifiers.curve_points(predicted("classifier", 0.5)))
    roc = [(point.x, point.y) for point in points if point.curve == "roc"]
    assert roc[0] == (0, 0) and roc[-1] == (1, 1) and roc == sorted(roc)
    recall = [point.x for point in points if point.curve == "precision_recall"]
    assert recall == sorted(recall) and recall[-1] == 1
    assert all(0 <= point.x <= 1 and 0 <= point.y <= 1 for point in points if point.curve == "reliability")


def test_the_most_confident_mistakes_come_first() -> None:
    truth = np.array([1, 1, 0, 0, 1, 0], bool)
    scores = np.array([0.9, 0.45, 0.99, 0.6, 0.05, 0.1])
    predictions = Predictions("classifier", truth, scores, 0.5, list("abcdef"), 1.0)
    assert evaluate_classifiers.hardest(predictions, 4) == [2, 4, 3, 1], (
        "by distance, false alarms and what was missed alike"
    )
    assert evaluate_classifiers.hardest(predictions, 6)[-2:] == [0, 5], "then what was found, and rightly left"


def test_images_that_are_read_as_their_originals_cost_nothing() -> None:
    original = predicted("original", 0.4)
    line = evaluate_classifiers.sharpened_line(original, original, 4, 200, 0)
    assert (line.auroc_cost, line.agreement, line.probability_shift) == (0, 1, 0)
    flat = Predictions("srcnn", original.truth, np.full(COUNT, 0.7), 0.5, original.patients, 0.0)
    blurred = evaluate_classifiers.sharpened_line(flat, original, 4, 200, 0)
    assert blurred.auroc == 0.5 and blurred.auroc_cost == pytest.approx(line.auroc - 0.5)
    assert blurred.auroc_cost_low > 0
    assert blurred.agreement == original.called.mean()


def test_a_project_gets_every_table_and_picture(project: Layout) -> None:
    lines = evaluate_classifiers.run(project, small())
    assert read_rows(project.classifiers, ClassifierSummary) == lines
    images = load_labelled(project.classification, "test", ("normal", "heart_failure"))
    predictions = read_rows(project.predictions, Prediction)
    for name in CLASSIFIERS:
        own = [row for row in predictions if row.classifier == name]
        assert [row.image_id for row in own] == [row.image_id for row in images.rows]
        wanted = load_any_classifier(project.model(name)).probabilities(images.images.numpy())
        np.testing.assert_allclose([row.probability for row in own], wanted, rtol=1e-6)
    assert {line.classifier for line in lines} == set(CLASSIFIERS)
    assert all(line.true_positive + line.false_negative == images.labels.sum() for line in lines)
    assert all(row.called == (row.probability >= row.threshold) for row in predictions)
    assert {point.curve for point in read_rows(project.classifier_curves, CurvePoint)} == set(CURVES)
    assert [line.shown for line in read_rows(project.sr_classification, SharpenedClassification)] == list(SHOWN)
    for entry in read_json(project.classifier_pictures / "pictures.json"):
        assert (project.classifier_pictures / entry["file"]).is_file()
        assert (project.classifier_pictures / entry["heat"]).is_file()


def test_the_original_is_shown_to_the_classifier_as_it_was_prepared(project: Layout) -> None:
    evaluate_classifiers.run(project, small())
    original = next(
        line for line in read_rows(project.sr_classification, SharpenedClassification) if line.shown == "original"
    )
    classifier = next(
        line for line in read_rows(project.classifiers, ClassifierSummary) if line.classifier == "classifier"
    )
    assert original.auroc == pytest.approx(classifier.auroc) and original.agreement == 1 and original.scale == 4


def test_a_generator_that_saw_a_held_out_image_of_the_classifier_is_not_shown(project: Layout) -> None:
    row = load_labelled(project.classification, "test", ("normal", "heart_failure")).rows[0]
    folder = project.model("rrdb")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"trained_on": [*config["trained_on"], row.image_id]})
    with pytest.raises(StepError, match=f"rrdb: expected weights that saw no held-out image, found {row.image_id}"):
        evaluate_classifiers.run(project, small())
