"""What arrives for enhancement, against what was trained on.

Drift is looked for by modality and statistic: Kolmogorov and Smirnov's two-sample test, corrected by Holm over all of
them, and the Wasserstein distance in standard deviations of the reference, so that a shift has to be seen and to be
large enough to matter.
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

FEW = 20  # images of a modality, on either side, below which nothing can be told
SIGNIFICANT = 0.05  # after Holm's correction over every test of the page
MATTERS = 0.3  # standard deviations of the reference
UNKNOWN, FEW_SEEN, SAME, DRIFTED = "never trained on", "too few to tell", "as trained on", "drifted"


@dataclass(frozen=True)
class Finding:
    """One statistic of one modality; the numbers are nan where there are too few images."""

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
    found: dict[str, list[dict[str, float]]] = {}
    for row in read_rows(layout.super_resolution / INDEX, PreparedRow):
        if row.split == "train" and row.sample_id == f"{row.image_id}-{row.frame}":
            with np.load(layout.super_resolution / row.file) as file:
                found.setdefault(row.modality, []).append(measure(file["hr"]))
    return found


def examine(
    trained_on: Mapping[str, list[dict[str, float]]], arrived: Iterable[Record], few: int = FEW
) -> list[Finding]:
    """Every statistic of every modality that arrived."""
    by_modality: dict[str, list[dict[str, float]]] = {}
    for record in arrived:
        if record.statistics:
            by_modality.setdefault(record.modality, []).append(record.statistics)
    found = [
        finding
        for modality in sorted(by_modality)
        for finding in _compared(modality, trained_on.get(modality, []), by_modality[modality], few)
    ]
    return _judged(found)


def _compared(
    modality: str, before: list[dict[str, float]], now: list[dict[str, float]], few: int
) -> Iterator[Finding]:
    enough = min(len(before), len(now)) >= few
    for name in STATISTICS:
        old, new = (np.array([one[name] for one in rows]) for rows in (before, now))
        distance = p = math.nan
        if enough:
            p = float(stats.ks_2samp(old, new).pvalue)
            spread = float(old.std(ddof=1)) or math.ulp(1.0)
            distance = float(stats.wasserstein_distance(old, new)) / spread
        yield Finding(
            modality=modality,
            statistic=name,
            reference=len(old),
            arrived=len(new),
            reference_mean=float(old.mean()) if len(old) else math.nan,
            arrived_mean=float(new.mean()),
            distance=distance,
            p_holm=p,
            verdict="" if enough else FEW_SEEN if before else UNKNOWN,
        )


def _judged(found: list[Finding]) -> list[Finding]:
    """With Holm's corrected p in place of the plain one, and a verdict each."""
    tested = sorted((finding for finding in found if not finding.verdict), key=lambda finding: finding.p_holm)
    corrected, least = {}, 0.0
    for rank, finding in enumerate(tested):
        least = max(least, min(1.0, finding.p_holm * (len(tested) - rank)))
        corrected[finding.modality, finding.statistic] = least
    return [_verdict(finding, corrected.get((finding.modality, finding.statistic))) for finding in found]


def _verdict(finding: Finding, p: float | None) -> Finding:
    if p is None:
        return finding
    verdict = DRIFTED if p < SIGNIFICANT and finding.distance > MATTERS else SAME
    return Finding(**asdict(finding) | {"p_holm": p, "verdict": verdict})


def said(found: list[Finding], days: float) -> str:
    """One sentence: what drifted, what was never trained on, or that there is nothing to say."""
    if not found:
        return f"no image was enhanced in the last {days:g} days"
    drifted = [f"{one.modality}: {one.statistic}" for one in found if one.verdict == DRIFTED]
    unknown = sorted({one.modality for one in found if one.verdict == UNKNOWN})
    few = sorted({one.modality for one in found if one.verdict == FEW_SEEN})
    told = [f"drifted: {', '.join(drifted)}"] if drifted else []
    told += [f"{UNKNOWN}: {', '.join(unknown)}"] if unknown else []
    told += [f"{FEW_SEEN}: {', '.join(few)}"] if few else []
    return "; ".join(told) or "what arrives is as what was trained on"


def alarming(found: list[Finding]) -> bool:
    """Whether somebody should look."""
    return any(finding.verdict in (DRIFTED, UNKNOWN) for finding in found)


def write(layout: Layout, found: list[Finding], seen: list[Record], days: float) -> Path:
    """Writes `mlruns/monitoring/drift.csv` and the page beside it, which is returned."""
    folder = layout.mlruns / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "drift.csv", Finding, found)
    template = Path(__file__).with_suffix(".html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    versions = sorted({(one.model, one.version) for one in seen})
    seconds = sorted(one.seconds for one in seen)
    page = folder / "drift.html"
    page.write_text(
        environment.from_string(template).render(
            said=said(found, days),
            alarming=alarming(found),
            at=now(),
            days=days,
            found=found,
            images=len(seen),
            silent=sum(not one.statistics for one in seen),
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


def as_table(found: list[Finding]) -> list[dict[str, Any]]:
    """Rows for a table on Prefect's pages: numbers that are none as nothing."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(one).items()}
        for one in found
    ]
