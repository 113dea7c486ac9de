"""Drift of the images that arrive for enhancement from those that the networks were trained on.

Each statistic of each modality is tested by itself. It has drifted if the Kolmogorov-Smirnov two-sample test, corrected
by Holm over all tests, is significant, and the Wasserstein distance is large, in standard deviations of the reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from scipy import stats

from components.handover import Layout, PreparedRow, read_rows, write_rows
from components.handover.names import INDEX
from components.monitoring.enhancement_log import Record, now
from components.monitoring.image_statistics import STATISTICS, measure

FEW = 20  # images of a modality, trained on or arrived, below which no test is made
SIGNIFICANT = 0.05  # after Holm's correction over every test of the page
MATTERS = 0.3  # standard deviations of the reference
UNKNOWN, FEW_SEEN, SAME, DRIFTED = "never trained on", "too few to tell", "as trained on", "drifted"


@dataclass(frozen=True)
class Finding:
    """One statistic of one modality. Without a test, distance and p are NaN."""

    modality: str
    statistic: str
    reference: int  # images trained on
    arrived: int
    reference_mean: float
    arrived_mean: float
    distance: float  # Wasserstein's, in standard deviations of the reference
    p_holm: float
    verdict: str


def reference(layout: Layout) -> dict[str, list[dict[str, float]]]:
    """Statistics of the images that generators were trained on, at their own size, by modality.

    Raises `StepError` where nothing was prepared yet.
    """
    statistics: dict[str, list[dict[str, float]]] = {}
    for row in read_rows(layout.super_resolution / INDEX, PreparedRow):
        if row.split == "train" and row.sample_id == f"{row.image_id}-{row.frame}":
            with np.load(layout.super_resolution / row.file) as file:
                statistics.setdefault(row.modality, []).append(measure(file["hr"]))
    return statistics


def examine(
    trained_on: Mapping[str, list[dict[str, float]]], arrived: Iterable[Record], few: int = FEW
) -> list[Finding]:
    """A finding for every statistic of every modality that arrived."""
    by_modality: dict[str, list[dict[str, float]]] = {}
    for record in arrived:
        if record.statistics:
            by_modality.setdefault(record.modality, []).append(record.statistics)
    findings = [
        finding
        for modality in sorted(by_modality)
        for finding in _compared(modality, trained_on.get(modality, []), by_modality[modality], few)
    ]
    return _with_verdicts(findings)


def _compared(
    modality: str, trained: list[dict[str, float]], arrived: list[dict[str, float]], few: int
) -> Iterator[Finding]:
    enough = min(len(trained), len(arrived)) >= few
    for name in STATISTICS:
        reference, observed = (np.array([row[name] for row in rows]) for rows in (trained, arrived))
        distance = p = math.nan
        if enough:
            p = float(stats.ks_2samp(reference, observed).pvalue)
            spread = float(reference.std(ddof=1)) or math.ulp(1.0)
            distance = float(stats.wasserstein_distance(reference, observed)) / spread
        yield Finding(
            modality=modality,
            statistic=name,
            reference=len(reference),
            arrived=len(observed),
            reference_mean=float(reference.mean()) if len(reference) else math.nan,
            arrived_mean=float(observed.mean()),
            distance=distance,
            p_holm=p,
            verdict="" if enough else FEW_SEEN if trained else UNKNOWN,
        )


def _with_verdicts(findings: list[Finding]) -> list[Finding]:
    """The findings with p corrected by Holm, and their verdicts."""
    tested = sorted((finding for finding in findings if not finding.verdict), key=lambda finding: finding.p_holm)
    corrected, running_max = {}, 0.0
    for rank, finding in enumerate(tested):
        running_max = max(running_max, min(1.0, finding.p_holm * (len(tested) - rank)))
        corrected[finding.modality, finding.statistic] = running_max
    return [_verdict(finding, corrected.get((finding.modality, finding.statistic))) for finding in findings]


def _verdict(finding: Finding, p: float | None) -> Finding:
    if p is None:
        return finding
    verdict = DRIFTED if p < SIGNIFICANT and finding.distance > MATTERS else SAME
    return Finding(**asdict(finding) | {"p_holm": p, "verdict": verdict})


def summary(findings: list[Finding], days: float) -> str:
    """One sentence: what drifted, what was never trained on, what has too few images; or that nothing drifted."""
    if not findings:
        return f"no image was enhanced in the last {days:g} days"
    drifted = [f"{finding.modality}: {finding.statistic}" for finding in findings if finding.verdict == DRIFTED]
    unknown = sorted({finding.modality for finding in findings if finding.verdict == UNKNOWN})
    few = sorted({finding.modality for finding in findings if finding.verdict == FEW_SEEN})
    clauses = [f"drifted: {', '.join(drifted)}"] if drifted else []
    clauses += [f"{UNKNOWN}: {', '.join(unknown)}"] if unknown else []
    clauses += [f"{FEW_SEEN}: {', '.join(few)}"] if few else []
    return "; ".join(clauses) or "what arrives is as what was trained on"


def alarming(findings: list[Finding]) -> bool:
    """Whether a modality drifted or was never trained on."""
    return any(finding.verdict in (DRIFTED, UNKNOWN) for finding in findings)


def write(layout: Layout, findings: list[Finding], records: list[Record], days: float) -> Path:
    """Writes `mlruns/monitoring/drift.csv` and the page beside it, which is returned."""
    folder = layout.mlruns / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "drift.csv", Finding, findings)
    template = Path(__file__).with_suffix(".html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    versions = sorted({(record.model, record.version) for record in records})
    seconds = sorted(record.seconds for record in records)
    page = folder / "drift.html"
    page.write_text(
        environment.from_string(template).render(
            summary=summary(findings, days),
            alarming=alarming(findings),
            at=now(),
            days=days,
            findings=findings,
            images=len(records),
            silent=sum(not record.statistics for record in records),
            versions=versions,
            median_s=float(np.median(seconds)) if seconds else math.nan,
            slowest_s=seconds[-1] if seconds else math.nan,
            statistics=STATISTICS,
            few=FEW,
            significant=SIGNIFICANT,
            matters=MATTERS,
            drifted=DRIFTED,
            unknown=UNKNOWN,
        ),
        encoding="utf-8",
    )
    return page


def as_table(findings: list[Finding]) -> list[dict[str, Any]]:
    """Rows for a table on Prefect's pages, `None` in place of NaN."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in map(asdict, findings)
    ]
