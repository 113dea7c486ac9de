"""The report's sections on classifiers: table, curves, effect of sharpening and hardest mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.evidence.comparing import least_p
from components.handover import CLASSIFIER, Layout, read_json, read_rows
from components.handover.classifier_rows import (
    CURVES,
    ClassifierSummary,
    CurvePoint,
    DenoisingRow,
    SharpenedClassification,
)
from components.handover.methods import CLASSIFIERS, COMPARED, SHOWN
from components.handover.names import PICTURES
from components.handover.sr_rows import SIGNIFICANT
from components.pages.embedded import data_uri, expect
from components.pages.labels import CLASSIFIER_NAMES, DENOISERS

MEASURES = ("auroc", "accuracy", "sensitivity", "specificity", "average_precision", "calibration_error")
GENERATED_KEYS = ("label", "images", "copies", "median_made", "median_held_out", "farther_share", "z", "nearest")
AXES = {
    "roc": ("ROC", "false positive rate", "true positive rate"),
    "precision_recall": ("Precision and recall", "recall", "precision"),
    "reliability": ("Reliability", "mean probability of a bin", "share of positives in it"),
}


def classifier_context(layout: Layout) -> dict[str, Any]:
    """The template's context for classifiers. Raises `StepError` naming a file that is missing or not as expected."""
    classifiers = read_rows(layout.classifiers, ClassifierSummary)
    expect(layout.classifiers, CLASSIFIERS, {line.classifier for line in classifiers})
    sharpened = read_rows(layout.sr_classification, SharpenedClassification)
    expect(layout.sr_classification, SHOWN, {line.shown for line in sharpened})
    return {
        "classifiers": classifiers,
        "classifier_names": CLASSIFIER_NAMES,
        "measures": MEASURES,
        "curves": [_curve(layout, curve) for curve in CURVES],
        "sharpened": sharpened,
        "standing": standing(classifiers),
        "compared": CLASSIFIER_NAMES[COMPARED],
        "denoisers": DENOISERS,
        "denoising": _denoising(layout),
        "mistakes": _mistakes(layout),
        "generated": _generated(layout),
    }


def effect(line: SharpenedClassification) -> str:
    """The effect of sharpening on the classifier, by the interval of its AUROC cost."""
    if too_few(line.patients, 1):
        return "too few patients to tell"
    if line.auroc_cost_low > 0:
        return "costs the classifier AUROC"
    return "helps the classifier" if line.auroc_cost_high < 0 else "no difference seen"


def standing(classifiers: Sequence[ClassifierSummary]) -> str:
    """The network against the other classifiers, by the intervals of the AUROC differences."""
    others = [line for line in classifiers if line.classifier != CLASSIFIER]
    if others and too_few(others[0].patients, len(others)):
        name = CLASSIFIER_NAMES[CLASSIFIER]
        return f"{others[0].patients} held-out patients are too few to tell {name} from the others."
    groups = {
        "ahead of": [line for line in others if line.auroc_gain_high < 0],
        "not told apart from": [line for line in others if line.auroc_gain_low <= 0 <= line.auroc_gain_high],
        "behind": [line for line in others if line.auroc_gain_low > 0],
    }
    parts = [f"{relation} {_listed(lines)}" for relation, lines in groups.items() if lines]
    return (
        f"By the intervals of the differences, {CLASSIFIER_NAMES[CLASSIFIER]} is {'; '.join(parts)}." if parts else ""
    )


def too_few(patients: int, compared: int) -> bool:
    """Whether Wilcoxon's test of `compared` methods, corrected by Holm, cannot reach 0.05 with so few patients."""
    return least_p(patients) * compared > SIGNIFICANT


def _listed(lines: Sequence[ClassifierSummary]) -> str:
    names = [f"“{CLASSIFIER_NAMES[line.classifier]}”" for line in lines]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sharpened_classification_of(layout: Layout, method: str) -> SharpenedClassification:
    """The classifier's scores on one method's images."""
    return next(line for line in read_rows(layout.sr_classification, SharpenedClassification) if line.shown == method)


def _denoising(layout: Layout) -> list[DenoisingRow]:
    rows = read_rows(layout.denoising, DenoisingRow)
    expect(layout.denoising, ["none"], {row.method for row in rows})
    return rows


def _curve(layout: Layout, curve: str) -> dict[str, Any]:
    """One figure: its titles, and each classifier's points for SVG, in percent, y downwards."""
    title, across, up = AXES[curve]
    points = [point for point in read_rows(layout.classifier_curves, CurvePoint) if point.curve == curve]
    lines = {name: _path([point for point in points if point.classifier == name]) for name in CLASSIFIERS}
    diagonal = None if curve == "precision_recall" else "0,100 100,0"
    return {"title": title, "across": across, "up": up, "lines": lines, "diagonal": diagonal}


def _path(points: Sequence[CurvePoint]) -> str:
    return " ".join(f"{100 * point.x:.2f},{100 - 100 * point.y:.2f}" for point in points)


def _mistakes(layout: Layout) -> list[dict[str, Any]]:
    path = layout.classifier_pictures / PICTURES
    pictures: list[dict[str, Any]] = read_json(path)
    return [
        picture | {name: data_uri(layout.classifier_pictures / picture[name]) for name in ("file", "heat")}
        for picture in pictures
    ]


def _generated(layout: Layout) -> dict[str, Any]:
    generated: dict[str, Any] = read_json(layout.generated_images)
    expect(layout.generated_images, GENERATED_KEYS, generated)
    pairs = [
        pair | {name: data_uri(layout.classifier_pictures / pair[name]) for name in ("made", "patient")}
        for pair in generated["nearest"]
    ]
    return generated | {"nearest": pairs}
