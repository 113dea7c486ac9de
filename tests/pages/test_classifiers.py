from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.handover import CLASSIFIER, Layout, StepError, read_rows, write_rows
from components.handover.classifier_rows import ClassifierSummary, SharpenedClassification
from components.handover.methods import CLASSIFIERS
from components.pages.classifiers import classifier_context, effect, standing
from components.pages.labels import CLASSIFIER_NAMES, NAMES
from tests.tables import write_classifiers
from tests.test_report import copied, drawn, table

__all__ = ["drawn"]  # the page of `tests/test_report.py`, drawn once more


def test_every_number_of_the_classifiers_is_that_of_the_csv(drawn: Layout) -> None:
    lines = read_rows(drawn.classifiers, ClassifierSummary)
    rows = [cells for cells in table(drawn.report.read_text(), "Every classifier, the highest") if cells][1:]
    assert len(rows) == len(lines) == len(CLASSIFIERS)
    for line, cells in zip(lines, rows, strict=True):
        expected = [
            CLASSIFIER_NAMES[line.classifier],
            f"{line.auroc:.3f} [{line.auroc_low:.3f}, {line.auroc_high:.3f}]",
        ]
        error = (line.calibration_error, line.calibration_error_low, line.calibration_error_high)
        gain = (line.auroc_gain, line.auroc_gain_low, line.auroc_gain_high)
        difference = (
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gain).replace("-", "−") if line.classifier != CLASSIFIER else ""
        )
        assert cells[:4] == [*expected, difference, f"{line.train_seconds:.0f}"]
        assert cells[8:] == ["{:.3f} [{:.3f}, {:.3f}]".format(*error), f"{line.threshold:.4f}"]


def test_what_each_classifier_called_is_that_of_the_csv(drawn: Layout) -> None:
    rows = [cells for cells in table(drawn.report.read_text(), "Decisions of each classifier") if cells][1:]
    for line, cells in zip(read_rows(drawn.classifiers, ClassifierSummary), rows, strict=True):
        counts = (line.true_positive, line.false_negative, line.true_negative, line.false_positive)
        assert cells == [CLASSIFIER_NAMES[line.classifier], *map(str, counts)]


def test_what_denoising_does_is_that_of_the_csv(drawn: Layout) -> None:
    none, nlm = [cells for cells in table(drawn.report.read_text(), "Denoising before") if cells][1:]
    assert none == ["none", "0.812 [0.700, 0.900]", "", "0.0", "0.0"]
    assert nlm == ["Non-local means", "0.832 [0.710, 0.910]", "+0.020 [−0.011, +0.043]", "3.7", "12.3"]


def test_what_is_said_of_made_images_is_that_of_the_record(drawn: Layout) -> None:
    page = " ".join(drawn.report.read_text().split())
    assert (
        "generated 40 images of heart failure; 2 of them" in page
        and "0.102 away from its nearest training patient, a validation image 0.077" in page
    )
    assert "in 84 % of pairs (z = +5.31;" in page and "0.071 apart: generated, and the nearest training patient" in page


def test_where_the_network_stands_follows_from_the_intervals(drawn: Layout) -> None:
    network = next(line for line in read_rows(drawn.classifiers, ClassifierSummary) if line.classifier == CLASSIFIER)
    worse = replace(network, classifier="classical_tree", auroc_gain_low=-0.3, auroc_gain_high=-0.1)
    alike = replace(network, classifier="classical_svm", auroc_gain_low=-0.1, auroc_gain_high=0.05)
    better = replace(network, classifier="classical_deep", auroc_gain_low=0.01, auroc_gain_high=0.05)
    assert standing([network]) == ""
    assert standing([worse, network, alike, better]) == (
        "By the intervals of the differences, DenseNet-201 is ahead of “Hand-made features, tree”; not told apart "
        "from “Hand-made features, SVM”; behind “Deep features, SVM”."
    )
    few = [replace(line, patients=6) for line in (network, worse, alike, better)]
    assert standing(few) == "6 held-out patients are too few to tell DenseNet-201 from the others."
    others = [replace(alike, classifier=name) for name in ("classical_svm", "classical_deep", "classical_kmeans")]
    assert "“Hand-made features, SVM”, “Deep features, SVM” and “k-means centroids, SVM”." in standing(others)
    assert standing(read_rows(drawn.classifiers, ClassifierSummary)) in drawn.report.read_text()


def test_what_sharpening_does_to_the_classifier_is_that_of_the_csv(drawn: Layout) -> None:
    page = drawn.report.read_text()
    rows = [cells for cells in table(page[page.index('id="reading-sharpened"') :], "80 images of 40") if cells][1:]
    lines = read_rows(drawn.sr_classification, SharpenedClassification)
    assert [cells[0] for cells in rows] == ["Original", "Downsampled", *NAMES.values()]
    for cells, line in zip(rows, lines, strict=True):
        assert cells[1].startswith(f"{line.auroc:.3f} [") and cells[3].startswith(f"{line.agreement:.3f} [")
        assert cells[2].startswith(f"{line.auroc_cost:+.3f}".replace("-", "−"))


def test_what_may_be_said_depends_on_the_interval(drawn: Layout) -> None:
    line = read_rows(drawn.sr_classification, SharpenedClassification)[-1]
    assert effect(replace(line, auroc_cost_low=0.01, auroc_cost_high=0.2)) == "costs the classifier AUROC"
    assert effect(replace(line, auroc_cost_low=-0.2, auroc_cost_high=-0.01)) == "helps the classifier"
    few = replace(line, auroc_cost_low=0.01, auroc_cost_high=0.2, patients=5)
    assert effect(few) == "too few patients to tell"
    assert "no difference" in effect(replace(line, auroc_cost_low=-0.1, auroc_cost_high=0.1))


def test_a_missing_picture_or_classifier_is_named(drawn: Layout, tmp_path: Path) -> None:
    copy = copied(drawn, tmp_path)
    (copy.classifier_pictures / "1-heat.png").unlink()
    with pytest.raises(StepError, match=r"1-heat\.png: expected a picture"):
        classifier_context(copy)
    write_classifiers(copy)
    write_rows(
        copy.sr_classification, SharpenedClassification, read_rows(copy.sr_classification, SharpenedClassification)[:-1]
    )
    with pytest.raises(StepError, match=r"sr_classification\.csv: expected esrgan"):
        classifier_context(copy)
    write_rows(copy.classifiers, ClassifierSummary, [])
    with pytest.raises(StepError, match=r"classifiers\.csv: expected classifier"):
        classifier_context(copy)


def test_curves_stand_on_their_axes(drawn: Layout) -> None:
    curves = classifier_context(drawn)["curves"]
    assert [curve["title"] for curve in curves] == ["ROC", "Precision and recall", "Reliability"]
    roc = [tuple(map(float, pair.split(","))) for pair in curves[0]["lines"]["classifier"].split()]
    assert roc[0] == (0, 100) and roc[-1] == (100, 0)
