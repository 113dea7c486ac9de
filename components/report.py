"""Writes the report, one self-contained page: `python -m components.report`.

Every number comes from the tables and records of earlier steps, or is a count or a mean of their rows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.evidence.policy import Criterion, at_least, best_generator, generator_criteria
from components.handover import (
    METHODS,
    SPLITS,
    IndexRow,
    Layout,
    Replacing,
    SplitRow,
    StepError,
    read_json,
    read_rows,
)
from components.handover.classifier_rows import ClassifierSummary, SharpenedClassification
from components.handover.names import PICTURES
from components.handover.sr_rows import MethodSummary, SampleScore
from components.pages.classifiers import classifier_context, effect, sharpened_classification_of
from components.pages.embedded import data_uri, expect
from components.pages.labels import display_names
from components.pages.super_resolution import counted, evidence, number, signed, since
from components.params import Params, Promote
from components.params.run_step import run_step

TEMPLATES = Path(__file__).parent / "pages" / "report"  # page.html.jinja, and a file a section
CLASSIFIER_KEYS = (
    *("accuracy", "sensitivity", "specificity", "auroc", "n", "patients"),
    *("simulated", "labels", "positive", "threshold", "confusion"),
)
COLUMNS = 8  # images side by side in the tables of scores; with more images, they are rows
KIND = re.compile(  # endings of file names
    r"\.(avi|bmp|csv|dcm|docx?|gif|gz|html?|ima|ini|jpe?g|json|log|mp4|nii|np[yz]|pdf|png|ps|rar|rtf|tar|tiff?|txt|"
    r"xlsx?|xml|zip)$"
)
FEW_PATIENTS = 20  # below this the page says that intervals over patients are rough


def run(layout: Layout, settings: Params) -> Path:
    """Writes `report.html` and gives its path. Raises `StepError` naming a file that is missing or malformed."""
    page = render(gather(layout, settings))
    with Replacing(layout.report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return layout.report


def gather(layout: Layout, settings: Params) -> dict[str, Any]:
    """The template's context. Raises `TypeError` where two of its parts have the same key."""
    methods = scores(layout)
    context = dict(**methods, **evidence(layout, methods["methods"], methods["best"]))
    if context["champion"]:
        context["since"] = since(layout, context["champion"], context["candidate"], context["names"])
    formats = {"number": number, "signed": signed, "counted": counted, "effect": effect}
    return dict(**context, **formats, **data(layout), **classifier_context(layout), **policy_context(layout, settings))


def scores(layout: Layout) -> dict[str, Any]:
    """The context of the tables and charts of methods, best method first."""
    summary = sorted(read_rows(layout.sr_summary, MethodSummary), key=lambda line: -line.psnr_db_mean)
    expect(layout.sr_summary, METHODS, {line.method for line in summary})
    samples = read_rows(layout.sr_samples, SampleScore)
    if not samples:
        raise StepError(f"{layout.sr_samples}: expected held-out images, found none. Run split, then evaluate again.")
    by_image, methods = by_sample(samples), list(dict.fromkeys(row.method for row in samples))
    for image in by_image:
        expect(layout.sr_samples, {*METHODS, *methods}, image["scores"], f" of {image['sample']}")
    return {
        "names": display_names(methods),
        "methods": methods,
        "scale": samples[0].scale,
        "summary": summary,
        "best": summary[0],
        "second": summary[1],
        "bicubic": next(line for line in summary if line.method == "bicubic"),
        "candidate": best_generator(summary),
        "few": summary[0].patients < FEW_PATIENTS,
        "samples": by_image,
        "columns": COLUMNS,
        "score_of": {image["sample"]: image["scores"] for image in by_image},
        "charts": [chart(summary, "psnr_db", "PSNR (dB)"), chart(summary, "ssim", "SSIM")],
        "pictures": pictures(layout, methods),
    }


def data(layout: Layout) -> dict[str, Any]:
    """The context of the section on data: sources, quarantine, split and validation."""
    index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
    validation = read_json(layout.validation)
    expect(layout.validation, ("passed", "images", "quarantined", "expectations"), validation)
    quarantined = [row for row in index if row.quarantined]
    left_out = [row.reason for row in splits if not row.split and not row.reason.startswith("quarantined")]
    return {
        "validation": validation,
        "failed": [expectation for expectation in validation["expectations"] if not expectation["success"]],
        "sides": sides(splits),
        "sources": sources(index),
        "left_out": Counter(left_out).most_common(),
        "quarantined": quarantined,
        "set_aside": Counter((shown_name(row), row.reason) for row in quarantined).most_common(),
        "reasons": Counter(kind_of(row.reason) for row in quarantined).most_common(),
    }


def policy_context(layout: Layout, settings: Params) -> dict[str, Any]:
    """The classifier's record, and the lines of the promotion policy that need no champion."""
    classifier = read_json(layout.classifier_report)
    expect(layout.classifier_report, CLASSIFIER_KEYS, classifier)
    summary = read_rows(layout.sr_summary, MethodSummary)
    classification = sharpened_classification_of(layout, best_generator(summary).method)
    best_auroc = max(line.auroc for line in read_rows(layout.classifiers, ClassifierSummary))
    policy = policy_lines(summary, best_auroc, classification, settings.promote)
    return {"profile": settings.profile, "classifier": classifier, "policy": policy}


def render(content: dict[str, Any]) -> str:
    """The page as HTML; values from outside are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(content).lstrip()


def policy_lines(
    summary: Sequence[MethodSummary], auroc: float, classification: SharpenedClassification, policy: Promote
) -> list[Criterion]:
    """The policy's criteria that need no champion, applied to the best generator and the best classifier.

    `auroc` is the best classifier's; `classification` is that of the best generator's images.
    """
    bicubic = next(line for line in summary if line.method == "bicubic")
    classifier = at_least("AUROC of the best classifier", policy.classifier_floor_auroc, auroc)
    return [*generator_criteria(best_generator(summary), bicubic, classification, policy), classifier]


def by_sample(samples: Iterable[SampleScore]) -> list[dict[str, Any]]:
    """For each held-out image, its scores under each method and the best method by each measure."""
    samples_by_name: dict[str, dict[str, Any]] = {}
    for row in samples:
        image = samples_by_name.setdefault(row.sample, {"sample": row.sample, "modality": row.modality, "scores": {}})
        image["scores"][row.method] = row
    for image in samples_by_name.values():
        rows = image["scores"].values()
        image["first"] = {name: max(rows, key=attrgetter(name)).method for name in ("psnr_db", "ssim")}
    return list(samples_by_name.values())


def chart(summary: Sequence[MethodSummary], measure: str, title: str) -> dict[str, Any]:
    """Means with their minimum and maximum, on an axis from 0 to the first tick that holds all that are finite."""
    step, decimals = (10.0, 2) if measure == "psnr_db" else (0.2, 4)
    lines = {line.method: line for line in summary}
    bars = []
    for method in sorted(lines, key=lambda name: METHODS.index(name) if name in METHODS else len(METHODS)):
        low, mean, high = (getattr(lines[method], f"{measure}_{end}") for end in ("min", "mean", "max"))
        bars.append({"method": method, "low": low, "mean": mean, "high": high})
    highest = max((bar["high"] for bar in bars if math.isfinite(bar["high"])), default=step)
    count = max(1, math.ceil(highest / step))
    ticks = [step * number for number in range(count + 1)]
    return {"title": title, "top": ticks[-1], "ticks": ticks, "bars": bars, "decimals": decimals}


def pictures(layout: Layout, methods: Sequence[str]) -> list[dict[str, Any]]:
    """The shown samples in the order of their ranks, with their files as data URIs."""
    path = layout.pictures / PICTURES
    samples = read_json(path)
    for sample in samples:
        expect(path, ("original", "input", *methods), sample["methods"], f" of {sample['sample']}")
        sample["box"] = zoom_box(sample)
        for files in sample["methods"].values():
            for kind, name in files.items():
                files[kind] = data_uri(layout.pictures / name)
    return list(samples)


def zoom_box(sample: dict[str, Any]) -> dict[str, float] | None:
    """The place of the detail in the whole image, in percent of its sides; `None` without a `size` in the record."""
    if "size" not in sample:
        return None
    row, column, height, width = sample["zoom"]
    rows, columns = sample["size"]
    shares = {"top": row / rows, "left": column / columns, "height": height / rows, "width": width / columns}
    return {name: round(100 * share, 3) for name, share in shares.items()}


def sides(splits: Iterable[SplitRow]) -> list[dict[str, Any]]:
    """Images and patients on each side, by task."""
    rows = [row for row in splits if row.split]
    counts = []
    for task in sorted({row.task for row in rows}, reverse=True):
        for side in SPLITS:
            side_rows = [row for row in rows if (row.task, row.split) == (task, side)]
            kinds = Counter(row.label or row.modality for row in side_rows)
            mix = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
            patients = len({row.patient_id for row in side_rows})
            counts.append({"task": task, "side": side, "images": len(side_rows), "patients": patients, "kinds": mix})
    return counts


def sources(index: Iterable[IndexRow]) -> list[dict[str, Any]]:
    """The images of each source, kept and quarantined."""
    by_source: dict[tuple[str, str], dict[str, Any]] = {}
    for row in index:
        start = {"task": row.task, "source": row.source, "simulated": False, "kept": 0, "quarantined": 0}
        counts = by_source.setdefault((row.task, row.source), start)
        counts["quarantined" if row.quarantined else "kept"] += 1
        counts["simulated"] |= row.simulated
    return list(by_source.values())


def shown_name(row: IndexRow) -> str:
    """The name of a quarantined file, or its key; of one that no patient was read from only its ending.

    So the letters and lists that lie among the images of an archive share a line.
    """
    if row.patient_id:
        return row.file_name
    ending = KIND.search(row.file_name.lower())
    return ending[0] if ending else "another kind"


def kind_of(reason: str) -> str:
    """A reason without the image that it names, so that equal reasons are counted together."""
    return re.sub(r" of [0-9a-f]{16}$", "", reason.split(":")[0])


def _summary(path: Path) -> str:
    return f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens without a network"


def main() -> int:
    return run_step(lambda layout, settings: [_summary(run(layout, settings))])


if __name__ == "__main__":
    raise SystemExit(main())
