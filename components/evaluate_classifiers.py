"""Compares all classifiers on the held-out patients, and measures the effect of sharpening on the first.

`python -m components.evaluate_classifiers` writes the tables of `components/handover/classifier_rows.py`,
`classifier.json` and the pictures of the hardest mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from components.classical.any_classifier import Classifier, load_any_classifier
from components.evidence.classifier_scores import Measure, Predictions, confusion, measures, share_of, with_intervals
from components.evidence.sharpened_images import shown_images
from components.handover import CLASSIFIER, LabelledRow, Layout, columns_of, read_record, write_json, write_rows
from components.handover.classifier_rows import ClassifierSummary, CurvePoint, Prediction, SharpenedClassification
from components.handover.methods import CLASSIFIERS, GENERATIVE, ORIGINAL
from components.handover.names import PICTURES, RECORD
from components.imaging.pictures import save_grey, save_heat
from components.learning.datasets.labelled import LabelledImages, load_labelled
from components.learning.device import best_device
from components.learning.inference.classifier import NetworkClassifier, load_network_classifier
from components.learning.inference.gradcam import grad_cam
from components.learning.synthetic.generated_images import generated_images
from components.params import Params
from components.params.run_step import run_step

METRICS = (  # of `classifier_metrics.json`
    *("auroc", "auroc_low", "auroc_high", "accuracy", "sensitivity", "specificity"),
    *("average_precision", "calibration_error"),
)
METRICS_SHARPENED = ("auroc", "auroc_cost", "auroc_cost_low", "auroc_cost_high", "agreement")


def run(layout: Layout, params: Params) -> list[ClassifierSummary]:
    """Writes every table and picture; gives the summary of classifiers, the highest AUROC first."""
    device = best_device()
    first = load_network_classifier(layout.model(CLASSIFIER))
    images = load_labelled(layout.classification, "test", first.classes)
    predictions = [_predict(layout, name, images) for name in CLASSIFIERS]
    summaries = summarise(predictions, params.evaluate.bootstrap_samples, params.seed)
    write_rows(layout.classifiers, ClassifierSummary, summaries)
    write_rows(
        layout.predictions, Prediction, (row for predicted in predictions for row in _rows(predicted, images.rows))
    )
    write_rows(
        layout.classifier_curves, CurvePoint, (point for predicted in predictions for point in curve_points(predicted))
    )
    write_json(layout.classifier_report, classifier_report(predictions[0], summaries, images, first.classes))
    _show_hardest(layout, first, predictions[0], images, params.evaluate.pictures)
    _show_generated(layout, first.classes, params.evaluate.pictures, device)
    sharpened = _sharpened(layout, params, first, images.rows, device)
    write_rows(layout.sr_classification, SharpenedClassification, sharpened)
    of_classifiers, of_sharpened = (
        columns_of(summaries, "classifier", METRICS),
        columns_of(sharpened, "shown", METRICS_SHARPENED),
    )
    write_json(layout.classifier_metrics, {"classifiers": of_classifiers, "sharpened": of_sharpened})
    return summaries


def _predict(layout: Layout, name: str, images: LabelledImages) -> Predictions:
    folder = layout.model(name)
    classifier = load_any_classifier(folder)
    print(f"{name} classifies {len(images.rows)} images")
    patients = [row.patient_id for row in images.rows]
    probabilities = classifier.probabilities(images.images.numpy())
    seconds = read_record(folder / RECORD).seconds
    return Predictions(name, images.labels.bool().numpy(), probabilities, classifier.threshold, patients, seconds)


def summarise(predictions: list[Predictions], samples: int, seed: int) -> list[ClassifierSummary]:
    """One line a classifier, the highest AUROC first; differences are paired with the first of `predictions`."""
    lines = [_summary(predicted, predictions[0], samples, seed) for predicted in predictions]
    return sorted(lines, key=lambda line: -line.auroc)


def _summary(predicted: Predictions, baseline: Predictions, samples: int, seed: int) -> ClassifierSummary:
    scores: dict[str, Any] = with_intervals(measures(predicted), predicted.patients, samples, seed)
    auroc, baseline_auroc = measures(predicted)["auroc"], measures(baseline)["auroc"]
    gain = with_intervals({"auroc_gain": lambda i: auroc(i) - baseline_auroc(i)}, predicted.patients, samples, seed)
    return ClassifierSummary(
        classifier=predicted.classifier,
        n=len(predicted.truth),
        patients=len(set(predicted.patients)),
        threshold=predicted.threshold,
        train_seconds=predicted.seconds,
        **scores | gain | confusion(predicted),
    )


def _rows(predicted: Predictions, rows: list[LabelledRow]) -> Iterator[Prediction]:
    for row, probability, called in zip(rows, predicted.probabilities, predicted.called, strict=True):
        yield Prediction(
            classifier=predicted.classifier,
            image_id=row.image_id,
            patient_id=row.patient_id,
            label=row.label,
            probability=float(probability),
            threshold=predicted.threshold,
            called=bool(called),
        )


def curve_points(predicted: Predictions) -> Iterator[CurvePoint]:
    """Points of the three curves, each from left to right."""
    truth, probabilities = predicted.truth, predicted.probabilities
    false_rate, true_rate, _ = roc_curve(truth, probabilities)
    precision, recall, _ = precision_recall_curve(truth, probabilities)
    share, mean = calibration_curve(truth, np.clip(probabilities, 0, 1), n_bins=10)
    curves = {"roc": (false_rate, true_rate), "precision_recall": (recall[::-1], precision[::-1])}
    for curve, (xs, ys) in (curves | {"reliability": (mean, share)}).items():
        for x, y in zip(xs, ys, strict=True):
            yield CurvePoint(classifier=predicted.classifier, curve=curve, x=float(x), y=float(y))


def classifier_report(
    predicted: Predictions, summaries: list[ClassifierSummary], images: LabelledImages, classes: tuple[str, ...]
) -> dict[str, Any]:
    """The classifier's scores with their intervals, and its confusion matrix."""
    line = next(summary for summary in summaries if summary.classifier == predicted.classifier)
    report: dict[str, Any] = {
        name: {"value": getattr(line, name), "low": getattr(line, f"{name}_low"), "high": getattr(line, f"{name}_high")}
        for name in measures(predicted)
    }
    return report | {
        "n": line.n,
        "patients": line.patients,
        "simulated": all(row.simulated for row in images.rows),
        "labels": list(classes),
        "positive": classes[1],
        "threshold": predicted.threshold,
        "confusion": confusion(predicted),
    }


def hardest(predicted: Predictions, count: int) -> list[int]:
    """Indices of `count` images: mistakes, then true positives, then true negatives, each by falling confidence.

    Confidence is the distance from the threshold, as a share of the range on that side of it.
    """
    wrong, distance = predicted.called != predicted.truth, predicted.probabilities - predicted.threshold
    sure = np.where(
        predicted.called, distance / max(1 - predicted.threshold, 1e-9), -distance / max(predicted.threshold, 1e-9)
    )
    order = sorted(range(len(wrong)), key=lambda i: (not wrong[i], not predicted.called[i] and not wrong[i], -sure[i]))
    return order[:count]


def _show_hardest(
    layout: Layout, classifier: NetworkClassifier, predicted: Predictions, images: LabelledImages, count: int
) -> None:
    pictures = []
    for i in hardest(predicted, count):
        row, name = images.rows[i], images.rows[i].image_id
        picture = images.images[i].mean(0).numpy()
        save_grey(layout.classifier_pictures / f"{name}.png", picture)
        heat = grad_cam(classifier.network, images.images[i : i + 1])
        save_heat(layout.classifier_pictures / f"{name}-heat.png", picture, heat)
        mistake = "false alarm" if predicted.called[i] else "missed"
        pictures.append(
            {
                "image_id": name,
                "label": row.label,
                "probability": float(predicted.probabilities[i]),
                "threshold": predicted.threshold,
                "called": bool(predicted.called[i]),
                "kind": mistake
                if predicted.called[i] != predicted.truth[i]
                else "found"
                if predicted.truth[i]
                else "rightly left",
                "file": f"{name}.png",
                "heat": f"{name}-heat.png",
            }
        )
    write_json(layout.classifier_pictures / PICTURES, pictures)


def _show_generated(layout: Layout, classes: tuple[str, ...], count: int, device: torch.device) -> None:
    """Shows the generated images that lie nearest to a training patient, beside that patient."""
    training, validation = (load_labelled(layout.classification, side, classes) for side in ("train", "validation"))
    generated = generated_images(layout.model(GENERATIVE), training, validation, device)
    check, pairs = generated.check, []
    for number in np.argsort(check.plain.distances)[:count].tolist():
        files = {"made": f"made-{number}.png", "patient": f"made-{number}-nearest.png"}
        save_grey(layout.classifier_pictures / files["made"], generated.images[number].mean(0).numpy())
        nearest = int(check.plain.nearest[number])
        save_grey(layout.classifier_pictures / files["patient"], training.images[nearest].mean(0).numpy())
        pairs.append(files | {"distance": float(check.plain.distances[number]), "left_out": bool(check.copies[number])})
    stats = {
        "median_made": float(np.median(check.plain.distances)),
        "median_held_out": float(np.median(check.plain.held_out)),
    }
    stats |= {"images": len(generated.images), "copies": int(check.copies.sum()), "farther_share": check.farther_share}
    write_json(layout.generated_images, stats | {"label": classes[generated.label], "z": check.z, "nearest": pairs})


def _sharpened(
    layout: Layout, params: Params, classifier: Classifier, rows: list[LabelledRow], device: torch.device
) -> list[SharpenedClassification]:
    """The classifier's scores on every held-out image, degraded and sharpened by each method."""
    scale, images = shown_images(layout, params, rows, classifier.size, classifier.channels, device)
    probabilities = {shown: classifier.probabilities(values) for shown, values in images.items()}
    truth = np.array([row.label == classifier.classes[1] for row in rows])
    patients = [row.patient_id for row in rows]
    predictions = {
        name: Predictions(name, truth, values, classifier.threshold, patients, 0.0)
        for name, values in probabilities.items()
    }
    samples, seed = params.evaluate.bootstrap_samples, params.seed
    return [
        sharpened_line(predicted, predictions[ORIGINAL], scale, samples, seed) for predicted in predictions.values()
    ]


def sharpened_line(
    predicted: Predictions, original: Predictions, scale: int, samples: int, seed: int
) -> SharpenedClassification:
    """The classifier's scores on one method's images, compared with their originals."""
    auroc, original_auroc = measures(predicted)["auroc"], measures(original)["auroc"]
    statistics: dict[str, Measure] = {
        "auroc": auroc,
        "auroc_cost": lambda i: original_auroc(i) - auroc(i),
        "agreement": lambda i: share_of(predicted.called[i] == original.called[i]),
    }
    return SharpenedClassification(
        shown=predicted.classifier,
        n=len(predicted.truth),
        patients=len(set(predicted.patients)),
        scale=scale,
        probability_shift=float(np.abs(predicted.probabilities - original.probabilities).mean()),
        **with_intervals(statistics, predicted.patients, samples, seed),
    )


def _line(line: ClassifierSummary) -> str:
    return (
        f"{line.classifier:<17} AUROC {line.auroc:.3f} [{line.auroc_low:.3f}, {line.auroc_high:.3f}]  accuracy "
        f"{line.accuracy:.3f}  over {CLASSIFIER} {line.auroc_gain:+.3f} [{line.auroc_gain_low:+.3f}, "
        f"{line.auroc_gain_high:+.3f}]  trained in {line.train_seconds:.0f} s"
    )


def main() -> int:
    return run_step(lambda layout, settings: map(_line, run(layout, settings)))


if __name__ == "__main__":
    raise SystemExit(main())
