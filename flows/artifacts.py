"""The artifacts of a run of the pipeline on Prefect's pages: the verdict and its tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.evidence.policy import best_generator
from components.handover import Layout, read_record, read_rows
from components.handover.classifier_rows import ClassifierSummary
from components.handover.names import RECORD
from components.handover.sr_rows import Comparison, MethodSummary
from components.pages.labels import CLASSIFIER_NAMES, NAMES, display_names
from components.pages.super_resolution import LOCAL_PAGES, conclusions, run_address
from components.register import Decision
from flows.automations import VERDICT_CHANGED
from flows.mlflow_pages import MLFLOW_PAGES

VERDICT, METHODS, CLASSIFIERS = "verdict", "super-resolution", "classifiers"  # keys: a page shows each one's history


def publish(layout: Layout, decisions: Sequence[Decision]) -> None:
    """Creates the three artifacts of the run that is under way. Raises `StepError` where a table is missing."""
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    summary = read_rows(layout.sr_summary, MethodSummary)
    comparisons = read_rows(layout.sr_comparisons, Comparison)
    create_markdown_artifact(
        key=VERDICT,
        markdown="\n".join(verdict(layout, summary, comparisons, decisions)),
        description="Which method leads, how sure that is, and what was promoted.",
    )
    create_table_artifact(
        key=METHODS,
        table=methods_table(summary),
        description="Every method on the held-out images, best first; intervals are 95 %, over patients. "
        + links(layout, (line.method for line in summary)),
    )
    classifiers = read_rows(layout.classifiers, ClassifierSummary)
    create_table_artifact(
        key=CLASSIFIERS,
        table=classifiers_table(classifiers),
        description="Every classifier on the held-out images, best first; intervals are 95 %, over patients. "
        + links(layout, (line.classifier for line in classifiers)),
    )


def announce(decisions: Iterable[Decision], entries: Iterable[Mapping[str, Any]]) -> None:
    """Emits `medsr.verdict.changed` for those `decisions` that wrote new `entries` into the ledger."""
    from prefect.events import emit_event

    decided = {(entry["model"], entry["version"]) for entry in entries}
    said = "\n".join(decision.summary for decision in decisions if (decision.model, decision.version) in decided)
    if said:
        emit_event(VERDICT_CHANGED, resource={"prefect.resource.id": "medsr.verdict"}, payload={"said": said})


def verdict(
    layout: Layout, summary: Sequence[MethodSummary], comparisons: Sequence[Comparison], decisions: Iterable[Decision]
) -> list[str]:
    """Lines of Markdown; `summary` is the best method first."""
    leader = best_generator(summary)
    findings = conclusions(comparisons, display_names(line.method for line in summary))
    return [
        f"# {NAMES[leader.method]} leads the networks: {leader.psnr_db_mean:.2f} dB, "
        f"{_signed_interval(leader)} over bicubic",
        "",
        f"Over {leader.n} held-out images of {leader.patients} patients. {' '.join(findings)}",
        "",
        *(f"- {decision.summary}" for decision in decisions),
        "",
        links(layout, [leader.method]),
    ]


def links(layout: Layout, models: Iterable[str]) -> str:
    """Markdown that leads to the report and to the MLflow run of each model that has one."""
    report = layout.report.resolve()
    runs = {name: read_record(path).run_id for name in models if (path := layout.model(name) / RECORD).is_file()}
    pages = os.environ.get(MLFLOW_PAGES, LOCAL_PAGES)
    addresses = [f"[{name}]({run_address(run).replace(LOCAL_PAGES, pages)})" for name, run in runs.items() if run]
    return f"The report: [{report}]({report.as_uri()})." + (f" MLflow: {', '.join(addresses)}." if addresses else "")


def methods_table(summary: Iterable[MethodSummary]) -> list[dict[str, Any]]:
    """One row a method."""
    return [
        {
            "method": line.method,
            "PSNR min – max (dB)": f"{line.psnr_db_min:.2f} – {line.psnr_db_max:.2f}",
            "PSNR (dB)": round(line.psnr_db_mean, 2),
            "SSIM": round(line.ssim_mean, 4),
            "over bicubic (dB)": _signed_interval(line),
            "consistency (dB)": round(line.consistency_db_mean, 2),
            "error beyond the input": round(line.error_beyond_mean, 3),
        }
        for line in summary
    ]


def classifiers_table(classifiers: Iterable[ClassifierSummary]) -> list[dict[str, Any]]:
    """One row a classifier."""
    return [
        {
            "classifier": CLASSIFIER_NAMES[line.classifier],
            "AUROC": f"{line.auroc:.3f} [{line.auroc_low:.3f}, {line.auroc_high:.3f}]",
            "sensitivity": round(line.sensitivity, 3),
            "specificity": round(line.specificity, 3),
        }
        for line in classifiers
    ]


def _signed_interval(line: MethodSummary) -> str:
    return f"{line.psnr_gain_db:+.2f} [{line.psnr_gain_db_low:+.2f}, {line.psnr_gain_db_high:+.2f}]"
