"""The card of a registered version: what it is for, what it learned from, how well it does, and where it fails.

After Mitchell et al. 2019, arXiv:1810.03993; Markdown, as MLflow shows it. Everything in it comes from the tables,
records and settings of the run, so the same evidence always gives the same card.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from components.evidence.policy import Criterion
from components.evidence.summarising import of_method
from components.handover import (
    SPLITS,
    IndexRow,
    Layout,
    LicenceRow,
    RunRecord,
    SplitRow,
    read_json,
    read_rows,
)
from components.handover.classifier_rows import ClassifierSummary, SharpenedClassification
from components.handover.methods import TRAINED, training_stage
from components.handover.names import CONFIG
from components.handover.sr_rows import Comparison, CostLine, GroupScore, MethodSummary, SampleScore
from components.pages.classifiers import MEASURES as OF_CLASSIFIERS
from components.pages.labels import NAMES
from components.pages.super_resolution import ONE_PATIENT, conclusions, counted, number
from components.params import Params

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
Scored = MethodSummary | ClassifierSummary | SharpenedClassification
Measure = tuple[str, str, int, tuple[str, ...]]  # title, field of the mean, decimals, fields of the interval
MEASURES: tuple[Measure, ...] = (
    ("PSNR (dB)", "psnr_db_mean", 2, ("psnr_db_low", "psnr_db_high")),
    ("SSIM", "ssim_mean", 4, ("ssim_low", "ssim_high")),
    ("PSNR in the body (dB)", "psnr_body_db_mean", 2, ()),
    ("SSIM in the body", "ssim_body_mean", 4, ()),
    ("consistency with the input (dB)", "consistency_db_mean", 2, ()),
    ("error beyond the input", "error_beyond_mean", 3, ()),
)


@dataclass(frozen=True)
class Source:
    """The images and patients of one source on each side of the split."""

    name: str
    licence: str
    sides: dict[str, str]  # split: images and patients


def generator_card(layout: Layout, params: Params, record: RunRecord, title: str, lines: Sequence[Criterion]) -> str:
    """The card of a super-resolution network; `title` names the version, `lines` are those of the promotion policy.

    Raises `StepError` naming the file that is missing or not ours.
    """
    summaries = {line.method: line for line in read_rows(layout.sr_summary, MethodSummary)}
    summary, bicubic = summaries[record.name], summaries["bicubic"]
    rows = read_rows(layout.sr_samples, SampleScore)
    groups = [line for line in read_rows(layout.sr_modalities, GroupScore) if line.method == record.name]
    comparisons = [
        line
        for line in read_rows(layout.sr_comparisons, Comparison)
        if (line.method, line.against) == (record.name, "bicubic")
    ]
    classification = next(
        line for line in read_rows(layout.sr_classification, SharpenedClassification) if line.shown == record.name
    )
    sources = sources_of(layout, "super_resolution")
    content = {
        "summary": summary,
        "scores": [
            (title, *(_score(line, name, decimals, ends) for line in (summary, bicubic)))
            for title, name, decimals, ends in MEASURES
        ],
        "groups": groups,
        "conclusions": conclusions(comparisons, NAMES) if summary.patients > 1 else [ONE_PATIENT],
        "classification": classification,
        "gain": _score(summary, "psnr_gain_db", 2, ("psnr_gain_db_low", "psnr_gain_db_high")),
        "cost_to_classifier": _score(classification, "auroc_cost", 3, ("auroc_cost_low", "auroc_cost_high")),
        "degradation": params.prepare.degradation,
        "modalities": sorted({line.group for line in groups}),
        "cost": next(line for line in read_rows(layout.sr_cost, CostLine) if line.method == record.name),
        "failures": [
            *generator_failures(of_method(rows, record.name), of_method(rows, "bicubic"), groups),
            *(f"Never scored on {name}: no held-out image." for name in _unscored(params.split.modalities, groups)),
        ],
    }
    return _render(layout, record, title, lines, sources, content)


def classifier_card(layout: Layout, record: RunRecord, title: str, lines: Sequence[Criterion]) -> str:
    """The card of a classifier; as `generator_card`."""
    scores = next(line for line in read_rows(layout.classifiers, ClassifierSummary) if line.classifier == record.name)
    classifier = read_json(layout.classifier_report)
    content = {
        "summary": scores,
        "scores": [
            (
                name.replace("_", " ").replace("auroc", "AUROC"),
                _score(scores, name, 3, (f"{name}_low", f"{name}_high")),
            )
            for name in OF_CLASSIFIERS
        ],
        "classifier": classifier,
        "failures": classifier_failures(scores, classifier),
    }
    return _render(layout, record, title, lines, sources_of(layout, "classification"), content)


def sources_of(layout: Layout, task: str) -> list[Source]:
    """The images of each source for `task`, and its licence (`data/licences.csv`)."""
    licences = {row.source: row for row in read_rows(layout.licences, LicenceRow)}
    source_of = {row.image_id: row.source for row in read_rows(layout.index, IndexRow) if not row.quarantined}
    split_rows = [row for row in read_rows(layout.splits, SplitRow) if row.split and row.task == task]
    sources = []
    for source in sorted({source_of[row.image_id] for row in split_rows}):
        rows = [row for row in split_rows if source_of[row.image_id] == source]
        sides = {side: _counted(row for row in rows if row.split == side) for side in SPLITS}
        licence = licences.get(source) or licences.get(source.partition(":")[0])
        terms = f"{licence.licence}; {licence.terms}" if licence else f"not stated: add {source} to data/licences.csv"
        sources.append(Source(source, terms, sides))
    return sources


def generator_failures(
    rows: Sequence[SampleScore], bicubic: Sequence[SampleScore], groups: Sequence[GroupScore]
) -> Iterator[str]:
    """Where the network is worse than bicubic or invents detail; its least gain where it is never worse."""
    pairs = list(zip(rows, bicubic, strict=True))
    least, _ = min(pairs, key=lambda pair: pair[0].psnr_db - pair[1].psnr_db)
    gain = {row.sample: row.psnr_db - bicubic_row.psnr_db for row, bicubic_row in pairs}
    worse = [row for row in rows if gain[row.sample] < 0]
    if worse:
        listed = ", ".join(f"{row.sample} ({row.modality}) {gain[row.sample]:+.2f} dB" for row in worse)
        yield f"Worse than bicubic by PSNR on {len(worse)} of {len(rows)} images: {listed}."
    else:
        yield f"Least over bicubic on {least.sample} ({least.modality}): {gain[least.sample]:+.2f} dB."
    not_better = [line for line in groups if line.psnr_gain_db <= 0]
    if not_better:
        yield f"No better than bicubic on average on {', '.join(line.group for line in not_better)}."
    invented = [row for row in rows if row.error_beyond > 1]
    if invented:
        listed = ", ".join(f"{row.sample} ({row.modality}) {row.error_beyond:.2f}" for row in invented)
        yield f"Detail that the input does not hold is wrong more than right (error above 1) on {listed}."
    inconsistent = [row for row, bicubic_row in pairs if row.consistency_worst_db < bicubic_row.consistency_worst_db]
    if inconsistent:
        listed = ", ".join(f"{row.sample} ({row.modality})" for row in inconsistent)
        yield f"Somewhere less consistent with the input than bicubic's worst part on {listed}."
    images, patients = counted(len(rows), "image"), counted(len({row.patient_id for row in rows}), "patient")
    yield f"Scored on {images} of {patients}: what happens to one patient in a hundred is not known."


def classifier_failures(scores: ClassifierSummary, classifier: dict[str, Any]) -> list[str]:
    """Missed cases, false alarms, calibration, and whether all images are simulated."""
    positives = scores.true_positive + scores.false_negative
    negatives = scores.true_negative + scores.false_positive
    failures = [
        f"Missed {scores.false_negative} of {positives} with {classifier['positive']} at its threshold of "
        f"{scores.threshold:.3f}.",
        f"Called {scores.false_positive} of {negatives} without it.",
        f"Its probabilities are off by {scores.calibration_error:.3f} on average (expected calibration error).",
    ]
    if classifier["simulated"]:
        failures.append("Every held-out image is simulated: nothing is known of real patients.")
    return failures


def _render(
    layout: Layout,
    record: RunRecord,
    title: str,
    lines: Sequence[Criterion],
    sources: Sequence[Source],
    content: dict[str, Any],
) -> str:
    config = read_json(layout.model(record.name) / CONFIG)
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    shared = {
        "title": title,
        "name": TRAINED[record.name].title,
        "paper": TRAINED[record.name].description,
        "stage": training_stage(record.name),
        "record": record,
        "config": config,
        "network": ", ".join(f"{key} {value}" for key, value in config.get("network", {}).items()),
        "licence": metadata("medsr")["License-Expression"],
        "sources": sources,
        "lines": lines,
        "number": number,
        "counted": counted,
    }
    return template.render(shared | content).strip() + "\n"


def _score(line: Scored, field: str, decimals: int, ends: tuple[str, ...]) -> str:
    """The mean, with its interval where there is more than one patient."""
    mean = number(getattr(line, field), decimals)
    if not ends or line.patients == 1:
        return mean
    low, high = (number(getattr(line, end), decimals) for end in ends)
    return f"{mean} [{low}, {high}]"


def _counted(rows: Iterable[SplitRow]) -> str:
    listed = list(rows)
    return f"{len(listed)} of {counted(len({row.patient_id for row in listed}), 'patient')}" if listed else "none"


def _unscored(modalities: Iterable[str], groups: Sequence[GroupScore]) -> list[str]:
    scored = {line.group for line in groups}
    missing = [name for name in modalities if name not in scored]
    return [", ".join(missing)] if missing else []
