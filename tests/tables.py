"""The files that evaluation, ingest and validation leave for the report, drawn by code."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from components import evaluate_classifiers
from components.evaluate import write_tables
from components.evidence.classifier_scores import Predictions
from components.handover import (
    METHODS,
    IndexRow,
    Layout,
    RunRecord,
    SplitRow,
    write_json,
    write_record,
    write_rows,
)
from components.handover.classifier_rows import ClassifierSummary, CurvePoint, DenoisingRow, SharpenedClassification
from components.handover.methods import CHAMPION, CLASSIFIERS, SHOWN
from components.handover.sr_rows import CostLine, ProfilePoint, SampleScore, SpectrumPoint
from components.imaging.pictures import save_grey
from tests.drawing import shapes

PROJECT = Path(__file__).parents[1]
ERRORS = ("edge_error", "error_low", "error_middle", "error_beyond", "error_beyond_worst", "energy_beyond")
KEPT = IndexRow(
    image_id="a" * 16,
    source="drawn",
    patient_id="P" + "0" * 12,
    study="2.25.1",
    series="2.25.2",
    modality="CT",
    body_part="HEAD",
    rows=128,
    columns=96,
    frames=1,
    bits_stored=12,
    photometric="MONOCHROME2",
    pixel_spacing_mm="0.5\\0.5",
    transfer_syntax="1.2.840.10008.1.2.1",
    sha256="0" * 64,
    label="",
    quarantined=False,
    reason="",
    task="super_resolution",
    simulated=False,
    minimum=-1024.0,
    maximum=2000.0,
    file_name="a.dcm",
    path="images/a.dcm",
)
NOT_DENOISED = DenoisingRow(
    method="none",
    n=80,
    patients=40,
    auroc=0.8125,
    auroc_low=0.7,
    auroc_high=0.9,
    auroc_gain=0.0,
    auroc_gain_low=0.0,
    auroc_gain_high=0.0,
    noise_removed_db=0.0,
    seconds_per_image=1e-6,
)
DENOISED = DenoisingRow(
    method="nlm",
    n=80,
    patients=40,
    auroc=0.8321,
    auroc_low=0.71,
    auroc_high=0.91,
    auroc_gain=0.0196,
    auroc_gain_low=-0.0112,
    auroc_gain_high=0.0434,
    noise_removed_db=3.71,
    seconds_per_image=0.0123,
)


def write_data(layout: Layout) -> list[IndexRow]:
    """An index of both tasks, eighteen patients, a split that nothing is wrong with, and the project's licences."""
    index, splits = [], []
    for task in ("super_resolution", "classification"):
        for number in range(9):
            name = f"{task[0]}{number}"
            label = ("normal", "heart_failure")[number % 2] if task == "classification" else ""
            about = {"image_id": name.encode().hex().rjust(16, "0"), "sha256": name.rjust(64, "0"), "label": label}
            patient = f"P{len(index):012x}"
            simulated = task == "classification"
            row = replace(KEPT, **about, patient_id=patient, task=task, file_name=f"{name}.dcm", simulated=simulated)
            index.append(row)
            side = ("train", "train", "train", "train", "validation", "validation", "test", "test", "train")[number]
            splits.append(
                SplitRow(
                    image_id=row.image_id,
                    patient_id=patient,
                    task=task,
                    modality="CT",
                    label=label,
                    split=side,
                    reason="",
                )
            )
    write_rows(layout.index, IndexRow, index)
    write_rows(layout.splits, SplitRow, splits)
    shutil.copy(PROJECT / "data" / "licences.csv", layout.licences)
    return index


def write_scores(
    layout: Layout, images: int = 7, others: Sequence[str] = (), patients: int | None = None
) -> list[SampleScore]:
    """As many samples under every method and `others`, no two numbers alike, with pictures of the first two.

    Each is of a patient of its own, or `patients` have them in turn.
    """
    random = np.random.default_rng(5)
    rows, methods = [], (*METHODS, *others)
    for number in range(1, images + 1):
        patient = number if patients is None else number % patients
        for method in methods:
            psnr, ssim = random.uniform(20, 45), random.uniform(0.6, 0.99)
            psnr -= 10 * (method == "bicubic")  # a network is first, as mostly
            modality = ("CT", "CR", "MR", "US")[number % 4]
            ms_ssim = random.uniform(0.7, 0.99)
            errors = dict(zip(ERRORS, random.uniform(0.01, 0.9, len(ERRORS)).tolist(), strict=True))
            rows.append(
                SampleScore(
                    sample=f"S{number}",
                    image_id=f"{number:016x}",
                    frame=0,
                    patient_id=f"P{patient:012x}",
                    modality=modality,
                    scale=4,
                    method=method,
                    psnr_db=psnr,
                    ssim=ssim,
                    psnr_body_db=psnr - 2,
                    ssim_body=ssim - 0.05,
                    ms_ssim=ms_ssim,
                    lpips=None,
                    **errors,
                    consistency_db=random.uniform(35, 60),
                    consistency_worst_db=random.uniform(20, 35),
                    degradation="bicubic",
                    held_out_sha256="ab" * 32,
                )
            )
    write_tables(layout, rows, 100, 0)
    write_rest(layout, methods)
    shown = [_picture(layout, rows, name) for name in ("S2", "S1")[-images:]]
    write_json(layout.pictures / "pictures.json", shown)
    one = {"value": 0.8125, "low": 0.7031, "high": 0.9062}
    confusion = {"true_positive": 41, "false_positive": 7, "true_negative": 52, "false_negative": 13}
    report = dict.fromkeys(("accuracy", "sensitivity", "specificity", "auroc"), one)
    report |= {"n": 113, "patients": 113, "simulated": True, "labels": ["normal", "heart_failure"]}
    report |= {"positive": "heart_failure", "threshold": 0.4321, "confusion": confusion}
    write_json(layout.classifier_report, report)
    write_classifiers(layout)
    return rows


def write_rest(layout: Layout, methods: Sequence[str] = METHODS) -> None:
    """Spectra, profiles, costs and records of training, drawn."""
    names = ("original", *methods)
    points = [
        SpectrumPoint(method=name, frequency=0.1 * n, power_db=-10.0 * n - k)
        for k, name in enumerate(names)
        for n in range(1, 6)
    ]
    write_rows(layout.sr_spectrum, SpectrumPoint, points)
    line = [
        ProfilePoint(sample=sample, method=name, column=n, value=0.01 * (n + k))
        for sample in ("S1", "S2")
        for k, name in enumerate(names)
        for n in range(9)
    ]
    write_rows(layout.sr_profiles, ProfilePoint, line)
    costs = [_cost(name, n) for n, name in enumerate(METHODS)]
    if CHAMPION in methods:
        costs.append(replace(_cost(CHAMPION, 0), train_seconds=0.0, train_wh=0.0))
    write_rows(layout.sr_cost, CostLine, costs)
    record = {"name": "sr-generator", "version": "3", "method": "rrdb", "weights_sha256": "9" * 64}
    write_json(layout.champion_report, record if CHAMPION in methods else {})
    for name in METHODS[1:]:
        write_record(layout.model(name) / "run.json", _record(name))
        write_json(layout.model(name) / "config.json", _configuration(name))
        (layout.model(name) / "history.csv").write_text("step\n1\n")
    if CHAMPION in methods:
        write_json(layout.champion / "config.json", _configuration("rrdb") | {"device": "cuda"})


def _cost(name: str, n: int) -> CostLine:
    return CostLine(
        method=name,
        device="cpu",
        parameters=1000 + n,
        weights_mb=0.5 + n,
        train_seconds=60.0 + n,
        seconds_per_megapixel=0.25 + n,
        peak_memory_mb=30.0 + n,
        train_wh=1.0,
        sharpen_wh_per_image=0.01,
    )


def _record(name: str) -> RunRecord:
    return RunRecord(
        name=name,
        run_id=f"run-{name}",
        model_id=f"model-{name}",
        weights_sha256="ab" * 32,
        data_sha256="cd" * 32,
        git_revision="e" * 40,
        seconds=12.0,
    )


def _configuration(name: str) -> dict[str, Any]:
    """As a training leaves it, as far as the report reads it."""
    generator = {"srgan": "srresnet", "esrgan": "rrdb"}.get(name)
    training = {"generator": generator} if generator else {"start": "data/shared/rrdb-x4" if name == "rrdb" else ""}
    about = {"name": name, "device": "cpu", "percentiles": [0.1, 99.9], "network": {"name": name, "scale": 4}}
    return about | {"training": {"steps": 100} | training}


def write_classifiers(layout: Layout) -> None:
    """A classifier's tables, of probabilities that are drawn, with pictures of two images."""
    random = np.random.default_rng(6)
    truth = np.arange(80) % 2 == 1
    patients = [f"P{number // 2}" for number in range(80)]
    scores = {name: np.clip(truth * 0.3 + random.uniform(0, 0.7, 80), 0, 1) for name in (*CLASSIFIERS, *SHOWN)}
    reads = {name: Predictions(name, truth, found, 0.5, patients, 12.0) for name, found in scores.items()}
    write_rows(
        layout.classifiers,
        ClassifierSummary,
        evaluate_classifiers.summarise([reads[name] for name in CLASSIFIERS], 100, 0),
    )
    points = (point for name in CLASSIFIERS for point in evaluate_classifiers.curve_points(reads[name]))
    write_rows(layout.classifier_curves, CurvePoint, points)
    rows = [NOT_DENOISED, DENOISED]
    pair = {"made": "0.png", "patient": "1.png", "distance": 0.0712, "left_out": False}
    about = {"label": "heart_failure", "images": 40, "copies": 2, "median_made": 0.1021, "median_held_out": 0.0773}
    write_json(layout.generated_images, about | {"farther_share": 0.84, "z": 5.31, "nearest": [pair]})
    write_rows(layout.denoising, DenoisingRow, rows)
    lines = [evaluate_classifiers.sharpened_line(reads[name], reads["original"], 4, 100, 0) for name in SHOWN]
    write_rows(layout.sr_classification, SharpenedClassification, lines)
    shown = []
    for number, kind in enumerate(("false alarm", "missed")):
        files = {"file": f"{number}.png", "heat": f"{number}-heat.png"}
        for file in files.values():
            save_grey(layout.classifier_pictures / file, shapes(32, 32, seed=number))
        about = {"image_id": f"{number:016x}", "label": "normal", "probability": 0.71, "threshold": 0.5}
        shown.append(about | files | {"called": kind == "false alarm", "kind": kind})
    write_json(layout.classifier_pictures / "pictures.json", shown)


def _picture(layout: Layout, rows: list[SampleScore], sample: str) -> dict[str, object]:
    own = {row.method: row for row in rows if row.sample == sample}
    files = {}
    for number, name in enumerate(("original", "input", *own)):
        files[name] = {kind: f"{sample}-{name}-{kind}.png" for kind in ("full", "zoom", "error")}
        for file in files[name].values():
            save_grey(layout.pictures / file, shapes(48, 40, seed=number))
    return {
        "sample": sample,
        "image_id": own["rrdb"].image_id,
        "modality": own["rrdb"].modality,
        "rank": "best",
        "display": "as stored",
        "profile_row": 16,
        "scale": 4,
        "zoom": [0, 0, 32, 32],
        "methods": files,
    }
