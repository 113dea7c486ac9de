"""The effect of denoising on a classical classifier: `python -m components.compare_denoising`.

The same classifier is trained and scored once with each method. Each method also denoises held-out images with added
noise, to measure how much of it is removed.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.classical.classifier import ClassicalClassifier
from components.classical.denoising import denoised
from components.classical.training import Data, load_data, make_extractor, train
from components.evidence.classifier_scores import Predictions, measures, with_intervals
from components.handover import Layout, StepError, write_rows
from components.handover.classifier_rows import DenoisingRow
from components.handover.methods import COMPARED
from components.learning.datasets.labelled import LabelledImages, load_labelled
from components.params import Params
from components.params.run_step import run_step
from components.params.trainings import ClassicalTraining, Denoiser

NOISE = 0.05  # standard deviation of what is added, as a share of the range


def run(layout: Layout, params: Params) -> list[DenoisingRow]:
    """Writes `denoising.csv`: a row for each of `evaluate.denoisers`, the first of them without denoising."""
    settings = params.train.get(COMPARED)
    if not isinstance(settings, ClassicalTraining):
        raise StepError(f"params.yaml: expected train.{COMPARED} with `recipe: classical`, found none. Add it.")
    data = load_data(layout)
    held_out = load_labelled(layout.classification, "test", data.classes)
    rows: list[DenoisingRow] = []
    predictions: list[Predictions] = []
    for method in params.evaluate.denoisers:
        predictions.append(
            _predict(_trained(layout, params, data, replace(settings, denoise=method)), method, held_out)
        )
        rows.append(_row(predictions[-1], predictions[0], method, held_out, params))
    write_rows(layout.denoising, DenoisingRow, rows)
    return rows


def _trained(layout: Layout, params: Params, data: Data, settings: ClassicalTraining) -> ClassicalClassifier:
    extractor, _ = make_extractor(layout, settings, data, params.seed)
    return train(data, extractor, settings, params.prepare.percentiles, params.seed)[1]


def _predict(classifier: ClassicalClassifier, method: Denoiser, images: LabelledImages) -> Predictions:
    patients = [row.patient_id for row in images.rows]
    truth, probabilities = images.labels.bool().numpy(), classifier.probabilities(images.images.numpy())
    return Predictions(method, truth, probabilities, classifier.threshold, patients, 0.0)


def _row(
    predicted: Predictions, baseline: Predictions, method: Denoiser, images: LabelledImages, params: Params
) -> DenoisingRow:
    samples, seed = params.evaluate.bootstrap_samples, params.seed
    auroc, baseline_auroc = measures(predicted)["auroc"], measures(baseline)["auroc"]
    statistics = {"auroc": auroc, "auroc_gain": lambda i: auroc(i) - baseline_auroc(i)}
    gain_db, seconds = noise_removed(images.images.numpy().mean(1), method, params.seed)
    return DenoisingRow(
        method=method,
        n=len(predicted.truth),
        patients=len(set(predicted.patients)),
        noise_removed_db=gain_db,
        seconds_per_image=seconds,
        **with_intervals(statistics, predicted.patients, samples, seed),
    )


def noise_removed(images: NDArray[np.float32], method: Denoiser, seed: int) -> tuple[float, float]:
    """How many dB of added noise `method` removes from `images` (N, rows, columns), and its seconds per image.

    It is the mean over images. The noise is Gaussian with standard deviation `NOISE`.
    """
    random = np.random.default_rng(seed)
    noisy = np.clip(images + random.normal(0, NOISE, images.shape), 0, 1).astype(np.float32)
    started = time.monotonic()
    clean = np.stack([denoised(image, method) for image in noisy])
    seconds = (time.monotonic() - started) / len(images)
    before, after = (((stack - images) ** 2).mean((1, 2)) for stack in (noisy, clean))
    return float(10 * np.log10(before / after).mean()), seconds


def _line(row: DenoisingRow) -> str:
    return (
        f"{row.method:<8} AUROC {row.auroc:.3f}  over none {row.auroc_gain:+.3f} [{row.auroc_gain_low:+.3f}, "
        f"{row.auroc_gain_high:+.3f}]  {row.noise_removed_db:+.1f} dB  {1000 * row.seconds_per_image:.1f} ms an image"
    )


def main() -> int:
    return run_step(lambda layout, params: map(_line, run(layout, params)))


if __name__ == "__main__":
    raise SystemExit(main())
