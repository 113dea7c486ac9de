"""How well PneumoniaMNIST is read: `python -m benchmarks.pneumonia --data FILE.npz --seeds 5`, or `--classical`.

MedMNIST v2 (Yang et al., Scientific Data 2023), 28 x 28 pixels, official splits. Calibration and threshold come from
the validation images alone; each trained classifier reads the test images once. Replaces one chapter of `RESULTS.md`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from benchmarks import machine
from benchmarks.results import Section, chapter
from components.classical.training import Data, make_extractor, train
from components.handover import LabelledRow, Layout, Replacing, StepError, fingerprint
from components.learning.datasets.labelled import LabelledImages
from components.learning.device import best_device, usable_precision
from components.learning.inference.calibration import temperature_of, threshold_for
from components.learning.inference.classifier import (
    InferenceSettings,
    NetworkClassifier,
    logits_of,
    positive_probabilities,
)
from components.learning.metrics.ranking import auroc, calibration_error
from components.learning.models import build
from components.learning.training.checkpoint import Checkpoints
from components.learning.training.classifier_phase import ClassifierPhase
from components.learning.training.progress import ConsoleReporter
from components.learning.training.trainer import Plan, fit
from components.params.trainings import Augmentation, ClassicalTraining, ClassifierTraining

HERE = Path(__file__).parent
CHAPTER, RIVALS_CHAPTER = "DenseNet-201 on PneumoniaMNIST", "Classical classifiers of PneumoniaMNIST"
CLASSES, SIDE = ("normal", "pneumonia"), 28
SPLITS = ("train", "val", "test")
RECIPE = ClassifierTraining(
    recipe="classifier",
    network={"name": "densenet201", "input_channels": 1, "stem": "small"},  # the published sizes
    weights="",
    size=SIDE,
    steps=600,
    head_steps=0,
    batch_size=64,
    learning_rate=1e-3,
    first_layer_rate_factor=1.0,
    weight_decay=0.05,
    beta2=0.999,
    schedule="cosine",
    ema=0.99,
    precision="bf16-mixed",
    balance="sampling",
    label_smoothing=0.1,
    mixup=0.2,
    augmentation=Augmentation(15, 0.1, 0.15, False, 0.35, 0.04),
    views=8,
    sensitivity=0.95,
    validate_every=600,  # the last weights are kept: likelihood before calibration prefers the less trained
    checkpoint_every=600,
)

SVM = ClassicalTraining(
    recipe="classical",
    features="handmade",
    denoise="none",
    select=100,
    components=0.99,
    model="svm",
    candidates=(0.3, 1.0, 3.0, 10.0, 30.0),
    folds=5,
    sensitivity=0.95,
)
RIVALS = {
    "hand-made features, SVM": SVM,
    "hand-made features, wavelet denoising, SVM": replace(SVM, denoise="wavelet"),
    "hand-made features, tree": replace(SVM, model="tree", components=0.0, candidates=(4, 6, 8, 12)),
    "k-means centroids, SVM": replace(
        SVM, features="centroids", select=0, components=0.95, centroids=400, patch_size=6
    ),
}


@dataclass(frozen=True)
class Scores:
    """The scores of one classifier on one split, at the threshold from the validation images."""

    auroc: float
    accuracy: float
    sensitivity: float
    specificity: float
    calibration_error: float


@dataclass(frozen=True)
class SeedResult:
    """The result of training with one seed."""

    seed: int
    seconds: float
    kept_step: int
    temperature: float
    threshold: float
    validation: Scores
    test: Scores


def load(path: Path) -> dict[str, LabelledImages]:
    """The splits of a MedMNIST file by name, images (N, 1, 28, 28) in [0, 1]. Raises `StepError` where it is none."""
    names = [f"{split}_{array}" for split in SPLITS for array in ("images", "labels")]
    if not path.is_file():
        raise StepError(f"{path}: expected PneumoniaMNIST's .npz, found no file. Name it with --data.")
    with np.load(path, allow_pickle=False) as file:
        if missing := sorted(set(names) - set(file.files)):
            raise StepError(f"{path}: expected a MedMNIST file, found no {', '.join(missing)}.")
        content = {name: file[name] for name in names}
    return {split: _split(content[f"{split}_images"], content[f"{split}_labels"]) for split in SPLITS}


def measure(splits: dict[str, LabelledImages], recipe: ClassifierTraining, seed: int) -> SeedResult:
    """Trains with `seed`, calibrates on the validation images, then reads the test images once."""
    started, fabric = time.monotonic(), _fabric(recipe)
    torch.manual_seed(seed)
    network = build(recipe.network, classes=len(CLASSES))
    phase = ClassifierPhase(network, recipe, fabric, splits["train"], splits["val"], seed)
    plan = Plan(recipe.steps, recipe.schedule, recipe.validate_every, recipe.checkpoint_every)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), fingerprint("pneumonia", seed))
        progress = fit(phase, plan, checkpoints, ConsoleReporter(f"seed {seed}"))
    network.load_state_dict(progress.best_state)
    inference = (recipe.augmentation, recipe.views, seed)
    logits = logits_of(network, splits["val"].images, fabric.device, *inference)
    temperature = temperature_of(logits, splits["val"].labels)
    validation = positive_probabilities(logits, temperature)
    threshold = threshold_for(recipe.sensitivity, splits["val"].labels.bool().numpy(), validation)
    classifier = NetworkClassifier(
        network, InferenceSettings(CLASSES, SIDE, 1, (0.0, 100.0), *inference, temperature, threshold)
    )
    test = classifier.probabilities(splits["test"].images.numpy())
    scores = [_scores(splits[split], p, threshold) for split, p in (("val", validation), ("test", test))]
    return SeedResult(seed, time.monotonic() - started, progress.best_step, temperature, threshold, *scores)


def rival(splits: dict[str, LabelledImages], settings: ClassicalTraining) -> tuple[float, Scores, Scores]:
    """The seconds that a classical classifier's training took, and its scores on the validation and the test images."""
    started = time.monotonic()
    data = Data(CLASSES, splits["train"], splits["val"])
    extractor, _ = make_extractor(Layout(), settings, data, 0)
    classifier = train(data, extractor, settings, (0.0, 100.0), 0)[1]
    seconds = time.monotonic() - started
    validation, test = (
        _scores(side, classifier.probabilities(side.images.numpy()), classifier.threshold)
        for side in (splits["val"], splits["test"])
    )
    return seconds, validation, test


def rivals_section(results: dict[str, tuple[float, Scores, Scores]]) -> Section:
    """The table: a row a classifier."""
    columns = (
        "classifier",
        "seconds",
        "validation AUROC",
        "test AUROC",
        "accuracy",
        "sensitivity",
        "specificity",
        "ECE",
    )
    rows = [
        [name, *_cells(np.array([seconds, validation.auroc, *_test_values(test)]))]
        for name, (seconds, validation, test) in results.items()
    ]
    method = "Features of whole images; what decides on them is chosen by cross-validation over the training images."
    return Section("Classifiers", method, columns, rows)


def section(splits: dict[str, LabelledImages], recipe: ClassifierTraining, results: Sequence[SeedResult]) -> Section:
    """The table: a row a seed, then mean and standard deviation."""
    normal = {split: int((side.labels == 0).sum()) for split, side in splits.items()}
    counts = ", ".join(f"{len(side.labels)} {split} ({normal[split]} normal)" for split, side in splits.items())
    method = (
        f"DenseNet-201 from random weights, {recipe.steps} steps of {recipe.batch_size} images, {recipe.views} views a "
        f"reading. Images: {counts}. The threshold finds {recipe.sensitivity:.0%} of the validation images' pneumonias."
    )
    columns = ("seed", "seconds", "validation AUROC", "test AUROC", "accuracy", "sensitivity", "specificity", "ECE")
    table = np.array([_row(result) for result in results])
    rows = [[str(result.seed), *_cells(row)] for result, row in zip(results, table, strict=True)]
    rows.append(["mean", *_cells(table.mean(0))])
    if len(results) > 1:
        rows.append(["standard deviation", *_cells(table.std(0, ddof=1))])
    mean = table.mean(0)
    finding = f"test AUROC {mean[2]:.4f}, accuracy {mean[3]:.4f}: means of {len(results)} seeds"
    return Section("Seeds", method, columns, rows, finding)


def replace_chapter(path: Path, text: str, name: str = CHAPTER) -> None:
    """Puts `text` in place of the chapter `name` in `path`, at the end where there is none yet."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    other_chapters = re.sub(rf"^## {name}\n.*?(?=^## |\Z)", "", before, flags=re.MULTILINE | re.DOTALL)
    with Replacing(path) as temporary:
        content = f"{other_chapters.strip()}\n\n## {name}\n\n{text.strip()}\n"
        temporary.write_text(content.lstrip(), encoding="utf-8")


def _split(images: np.ndarray, labels: np.ndarray) -> LabelledImages:
    scaled = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
    truth = torch.from_numpy(labels.reshape(-1).astype(np.int64))
    rows = [
        LabelledRow(image_id=str(n), patient_id=str(n), label=CLASSES[label], split="", simulated=False)
        for n, label in enumerate(truth.tolist())
    ]
    return LabelledImages(scaled, truth, rows)  # the set does not say whose an image is


def _fabric(recipe: ClassifierTraining) -> Fabric:
    device = best_device()
    return Fabric(accelerator="auto", devices=1, precision=usable_precision(recipe.precision, device))


def _scores(side: LabelledImages, probabilities: np.ndarray, threshold: float) -> Scores:
    truth, called = side.labels.bool().numpy(), probabilities >= threshold
    return Scores(
        auroc(truth, probabilities),
        float((called == truth).mean()),
        float(called[truth].mean()),
        float((~called[~truth]).mean()),
        calibration_error(truth, probabilities),
    )


def _row(result: SeedResult) -> list[float]:
    return [result.seconds, result.validation.auroc, *_test_values(result.test)]


def _test_values(test: Scores) -> list[float]:
    return [test.auroc, test.accuracy, test.sensitivity, test.specificity, test.calibration_error]


def _cells(row: np.ndarray) -> list[str]:
    return [f"{row[0]:.0f}", *(f"{value:.4f}" for value in row[1:])]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pneumonia", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="PneumoniaMNIST's .npz")
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings, from seed 0")
    parser.add_argument("--classical", action="store_true", help="the classical classifiers instead")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of RESULTS.md; by default beside the code")
    chosen = parser.parse_args(arguments)
    if chosen.seeds < 1:
        parser.error(f"--seeds: expected 1 or more, found {chosen.seeds}")
    try:
        splits = load(chosen.data)
        table = _rivals(splits) if chosen.classical else _networks(splits, chosen.seeds)
    except StepError as error:
        print(error, file=sys.stderr)
        return 1
    print(table.markdown())
    description, name = machine.described(_fabric(RECIPE).device), RIVALS_CHAPTER if chosen.classical else CHAPTER
    replace_chapter(chosen.into / "RESULTS.md", chapter(description, machine.revision(), [table]), name)
    return 0


def _rivals(splits: dict[str, LabelledImages]) -> Section:
    results = {}
    for name, settings in RIVALS.items():
        results[name] = rival(splits, settings)
        print(name, *results[name], flush=True)
    return rivals_section(results)


def _networks(splits: dict[str, LabelledImages], seeds: int) -> Section:
    results = []
    for seed in range(seeds):
        results.append(measure(splits, RECIPE, seed))
        print(results[-1], flush=True)
    return section(splits, RECIPE, results)


if __name__ == "__main__":
    raise SystemExit(main())
