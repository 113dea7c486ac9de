"""Compares every reader on the held-out patients, and asks what sharpening does to the first of them.

`python -m components.evaluate_readers` writes the tables of `components/handover/reader_rows.py`, `classifier.json`
and the pictures of the hardest mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from components.classical.any_classifier import AnyReader, load_any_reader
from components.evidence.reader_scores import Measure, Read, confusion, measures, share_of, with_intervals
from components.evidence.sharpened_images import shown_images
from components.handover import CLASSIFIER, LabelledRow, Layout, picked, read_record, write_json, write_rows
from components.handover.methods import GENERATIVE, ORIGINAL, READERS
from components.handover.names import PICTURES, RECORD
from components.handover.reader_rows import CurvePoint, ReaderSummary, Reading, SharpenedReading
from components.imaging.pictures import save_grey, save_heat
from components.learning.datasets.labelled import LabelledImages, load_labelled
from components.learning.device import best_device
from components.learning.inference.classifier import Reader, load_reader
from components.learning.inference.gradcam import grad_cam
from components.learning.synthetic.extra_images import extra_images
from components.params import Params
from components.params.run_step import run_step

METRICS = (  # of `reader_metrics.json`
    *("auroc", "auroc_low", "auroc_high", "accuracy", "sensitivity", "specificity"),
    *("average_precision", "calibration_error"),
)
METRICS_SHARPENED = ("auroc", "auroc_cost", "auroc_cost_low", "auroc_cost_high", "agreement")


def run(layout: Layout, params: Params) -> list[ReaderSummary]:
    """Writes every table and picture; gives the summary of readers, the highest AUROC first."""
    device = best_device()
    first = load_reader(layout.model(CLASSIFIER))
    images = load_labelled(layout.classification, "test", first.classes)
    reads = [_read(layout, name, images) for name in READERS]
    summaries = summarise(reads, params.evaluate.bootstrap_samples, params.seed)
    write_rows(layout.readers, ReaderSummary, summaries)
    write_rows(layout.readings, Reading, (row for read in reads for row in _rows(read, images.rows)))
    write_rows(layout.reader_curves, CurvePoint, (point for read in reads for point in curve_points(read)))
    write_json(layout.classifier_report, classifier_report(reads[0], summaries, images, first.classes))
    _show_hardest(layout, first, reads[0], images, params.evaluate.pictures)
    _show_made(layout, first.classes, params.evaluate.pictures, device)
    sharpened = _sharpened(layout, params, first, images.rows, device)
    write_rows(layout.sr_reading, SharpenedReading, sharpened)
    of_readers, of_sharpened = picked(summaries, "reader", METRICS), picked(sharpened, "shown", METRICS_SHARPENED)
    write_json(layout.reader_metrics, {"readers": of_readers, "sharpened": of_sharpened})
    return summaries


def _read(layout: Layout, name: str, images: LabelledImages) -> Read:
    folder = layout.model(name)
    reader = load_any_reader(folder)
    print(f"{name} reads {len(images.rows)} images")
    patients = [row.patient_id for row in images.rows]
    probabilities = reader.probabilities(images.images.numpy())
    seconds = read_record(folder / RECORD).seconds
    return Read(name, images.labels.bool().numpy(), probabilities, reader.threshold, patients, seconds)


def summarise(reads: list[Read], samples: int, seed: int) -> list[ReaderSummary]:
    """One line a reader, the highest AUROC first; differences are paired with the first of `reads`."""
    lines = [_summary(read, reads[0], samples, seed) for read in reads]
    return sorted(lines, key=lambda line: -line.auroc)


def _summary(read: Read, baseline: Read, samples: int, seed: int) -> ReaderSummary:
    found: dict[str, Any] = with_intervals(measures(read), read.patients, samples, seed)
    own, other = measures(read)["auroc"], measures(baseline)["auroc"]
    gain = with_intervals({"auroc_gain": lambda i: own(i) - other(i)}, read.patients, samples, seed)
    return ReaderSummary(
        reader=read.reader,
        n=len(read.truth),
        patients=len(set(read.patients)),
        threshold=read.threshold,
        train_seconds=read.seconds,
        **found | gain | confusion(read),
    )


def _rows(read: Read, rows: list[LabelledRow]) -> Iterator[Reading]:
    for row, probability, called in zip(rows, read.probabilities, read.called, strict=True):
        yield Reading(
            reader=read.reader,
            image_id=row.image_id,
            patient_id=row.patient_id,
            label=row.label,
            probability=float(probability),
            threshold=read.threshold,
            called=bool(called),
        )


def curve_points(read: Read) -> Iterator[CurvePoint]:
    """Points of the three curves, each from left to right."""
    truth, probabilities = read.truth, read.probabilities
    false_rate, true_rate, _ = roc_curve(truth, probabilities)
    precision, recall, _ = precision_recall_curve(truth, probabilities)
    share, mean = calibration_curve(truth, np.clip(probabilities, 0, 1), n_bins=10)
    curves = {"roc": (false_rate, true_rate), "precision_recall": (recall[::-1], precision[::-1])}
    for curve, (xs, ys) in (curves | {"reliability": (mean, share)}).items():
        for x, y in zip(xs, ys, strict=True):
            yield CurvePoint(reader=read.reader, curve=curve, x=float(x), y=float(y))


def classifier_report(
    read: Read, summaries: list[ReaderSummary], images: LabelledImages, classes: tuple[str, ...]
) -> dict[str, Any]:
    """The classifier's own line, with the confusion behind it."""
    line = next(summary for summary in summaries if summary.reader == read.reader)
    report: dict[str, Any] = {
        name: {"value": getattr(line, name), "low": getattr(line, f"{name}_low"), "high": getattr(line, f"{name}_high")}
        for name in measures(read)
    }
    return report | {
        "n": line.n,
        "patients": line.patients,
        "simulated": all(row.simulated for row in images.rows),
        "labels": list(classes),
        "positive": classes[1],
        "threshold": read.threshold,
        "confusion": confusion(read),
    }


def hardest(read: Read, wanted: int) -> list[int]:
    """Places of the surest mistakes first, then of what was rightly found; sure is far from the threshold.

    The distance is a share of what there is on its side: thresholds seldom lie in the middle.
    """
    wrong, distance = read.called != read.truth, read.probabilities - read.threshold
    sure = np.where(read.called, distance / max(1 - read.threshold, 1e-9), -distance / max(read.threshold, 1e-9))
    order = sorted(range(len(wrong)), key=lambda i: (not wrong[i], not read.called[i] and not wrong[i], -sure[i]))
    return order[:wanted]


def _show_hardest(layout: Layout, reader: Reader, read: Read, images: LabelledImages, wanted: int) -> None:
    shown = []
    for i in hardest(read, wanted):
        row, name = images.rows[i], images.rows[i].image_id
        picture = images.images[i].mean(0).numpy()
        save_grey(layout.reader_pictures / f"{name}.png", picture)
        heat = grad_cam(reader.network, images.images[i : i + 1])
        save_heat(layout.reader_pictures / f"{name}-heat.png", picture, heat)
        wrong = "false alarm" if read.called[i] else "missed"
        shown.append(
            {
                "image_id": name,
                "label": row.label,
                "probability": float(read.probabilities[i]),
                "threshold": read.threshold,
                "called": bool(read.called[i]),
                "kind": wrong if read.called[i] != read.truth[i] else "found" if read.truth[i] else "rightly left",
                "file": f"{name}.png",
                "heat": f"{name}-heat.png",
            }
        )
    write_json(layout.reader_pictures / PICTURES, shown)


def _show_made(layout: Layout, classes: tuple[str, ...], wanted: int, device: torch.device) -> None:
    """What the generative training makes, and the patients that its images come nearest to."""
    training, validation = (load_labelled(layout.classification, side, classes) for side in ("train", "validation"))
    extra = extra_images(layout.model(GENERATIVE), training, validation, device)
    check, pairs = extra.check, []
    for number in np.argsort(check.plain.distances)[:wanted].tolist():
        files = {"made": f"made-{number}.png", "patient": f"made-{number}-nearest.png"}
        save_grey(layout.reader_pictures / files["made"], extra.images[number].mean(0).numpy())
        nearest = int(check.plain.nearest[number])
        save_grey(layout.reader_pictures / files["patient"], training.images[nearest].mean(0).numpy())
        pairs.append(files | {"distance": float(check.plain.distances[number]), "left_out": bool(check.copies[number])})
    about = {
        "median_made": float(np.median(check.plain.distances)),
        "median_held_out": float(np.median(check.plain.held_out)),
    }
    about |= {"images": len(extra.images), "copies": int(check.copies.sum()), "farther_share": check.farther_share}
    write_json(layout.made_images, about | {"label": classes[extra.label], "z": check.z, "nearest": pairs})


def _sharpened(
    layout: Layout, params: Params, reader: AnyReader, rows: list[LabelledRow], device: torch.device
) -> list[SharpenedReading]:
    """The reader's answers to what each method makes of the low-resolution twin of every held-out image."""
    scale, images = shown_images(layout, params, rows, reader.size, reader.channels, device)
    probabilities = {shown: reader.probabilities(found) for shown, found in images.items()}
    truth = np.array([row.label == reader.classes[1] for row in rows])
    patients = [row.patient_id for row in rows]
    reads = {name: Read(name, truth, found, reader.threshold, patients, 0.0) for name, found in probabilities.items()}
    samples, seed = params.evaluate.bootstrap_samples, params.seed
    return [sharpened_line(read, reads[ORIGINAL], scale, samples, seed) for read in reads.values()]


def sharpened_line(read: Read, original: Read, scale: int, samples: int, seed: int) -> SharpenedReading:
    """How one method's images are read, beside their originals."""
    own, other = measures(read)["auroc"], measures(original)["auroc"]
    wanted: dict[str, Measure] = {
        "auroc": own,
        "auroc_cost": lambda i: other(i) - own(i),
        "agreement": lambda i: share_of(read.called[i] == original.called[i]),
    }
    return SharpenedReading(
        shown=read.reader,
        n=len(read.truth),
        patients=len(set(read.patients)),
        scale=scale,
        probability_shift=float(np.abs(read.probabilities - original.probabilities).mean()),
        **with_intervals(wanted, read.patients, samples, seed),
    )


def _line(line: ReaderSummary) -> str:
    return (
        f"{line.reader:<17} AUROC {line.auroc:.3f} [{line.auroc_low:.3f}, {line.auroc_high:.3f}]  accuracy "
        f"{line.accuracy:.3f}  over {CLASSIFIER} {line.auroc_gain:+.3f} [{line.auroc_gain_low:+.3f}, "
        f"{line.auroc_gain_high:+.3f}]  trained in {line.train_seconds:.0f} s"
    )


def main() -> int:
    return run_step(lambda layout, settings: map(_line, run(layout, settings)))


if __name__ == "__main__":
    raise SystemExit(main())
