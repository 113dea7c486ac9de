"""What the report says of super-resolution beyond the literature's tables: how sure, how faithful, at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from components.evidence.measures import DEFINITIONS
from components.evidence_rows import (
    CHAMPION,
    LEADER,
    Comparison,
    CostLine,
    GroupScore,
    ProfilePoint,
    SampleScore,
    SpectrumPoint,
)
from components.handover import GENERATORS, Layout, read_json, read_record, read_rows

NAMES = {
    "bicubic": "Bicubic",
    "srcnn": "SRCNN",
    "srresnet": "SRResNet",
    "srgan": "SRGAN",
    "rrdb": "RRDB",
    "esrgan": "ESRGAN",
}
SIGNIFICANT = 0.05
OPPONENTS = {"bicubic": "bicubic", LEADER: "the best network of this run", CHAMPION: "the champion in service"}
WIDTH, HEIGHT = 100.0, 60.0  # of a chart, in its own units


def named(methods: Iterable[str]) -> dict[str, str]:
    """Methods as people write them; other programs' keep the name they were given."""
    return {method: NAMES.get(method, "Champion before" if method == CHAMPION else method) for method in methods}


def evidence(layout: Layout, methods: Sequence[str]) -> dict[str, Any]:
    """All that the template shows of it. Raises `StepError` naming the file that is missing or not ours."""
    names = named(methods)
    comparisons = read_rows(layout.sr_comparisons, Comparison)
    return {
        "modalities": groups(read_rows(layout.sr_modalities, GroupScore)),
        "patients": groups(read_rows(layout.sr_patients, GroupScore)),
        "comparisons": [
            {"against": against, "opponent": OPPONENTS[against], "measure": measure, "rows": list(rows)}
            for (against, measure), rows in groupby(comparisons, key=attrgetter("against", "measure"))
        ],
        "sayings": sayings(comparisons, names),
        "definitions": DEFINITIONS,
        "measured": sorted(_measured(read_rows(layout.sr_samples, SampleScore))),
        "spectrum": spectrum(read_rows(layout.sr_spectrum, SpectrumPoint), methods),
        "profiles": profiles(read_rows(layout.sr_profiles, ProfilePoint), methods),
        "costs": read_rows(layout.sr_cost, CostLine),
        "champion": read_json(layout.champion_report),
        "runs": [read_record(layout.model(name) / "run.json") for name in GENERATORS],
    }


def sayings(comparisons: Sequence[Comparison], names: dict[str, str]) -> list[str]:
    """What the corrected tests of PSNR allow to say, a sentence an opponent; that nothing can be said is one, too."""
    found = []
    for against, rows in groupby((row for row in comparisons if row.measure == "psnr_db"), key=attrgetter("against")):
        family = list(rows)
        opponent = f"{names[family[0].against_method]}" + (f", {OPPONENTS[against]}" if against != "bicubic" else "")
        least = family[0].p_holm_least
        if least > SIGNIFICANT:
            found.append(
                f"Against {opponent}: {family[0].patients} patients are too few for any corrected test to fall below "
                f"{SIGNIFICANT}; the smallest it could give is {least:.3g}. Read the differences and their intervals."
            )
            continue
        better = [names[row.method] for row in family if row.p_holm < SIGNIFICANT and row.difference > 0]
        worse = [names[row.method] for row in family if row.p_holm < SIGNIFICANT and row.difference < 0]
        said = [f"{', '.join(who)} {how}" for who, how in ((better, "better"), (worse, "worse")) if who]
        found.append(f"Against {opponent}: {'; '.join(said) or 'no difference that the corrected tests can tell'}.")
    return found


def groups(rows: Sequence[GroupScore]) -> list[dict[str, Any]]:
    """One entry a group, with its line under each method."""
    return [
        {"group": group, "lines": {line.method: line for line in lines}}
        for group, lines in ((key, list(found)) for key, found in groupby(rows, key=attrgetter("group")))
    ]


def spectrum(points: Sequence[SpectrumPoint], methods: Sequence[str]) -> dict[str, Any]:
    """Lines of mean power, as SVG takes them, y downwards, on axes of 10 dB and 0.1 cycles a pixel."""
    low = 10 * (min(point.power_db for point in points) // 10)
    high = 10 * -(-max(point.power_db for point in points) // 10)
    lines = {
        name: _line((p.frequency / 0.5, (p.power_db - low) / (high - low)) for p in points if p.method == name)
        for name in ("original", *methods)
    }
    ticks = [low + 20 * n for n in range(int((high - low) // 20) + 1)]
    return {"lines": lines, "ticks": [(tick, HEIGHT * (1 - (tick - low) / (high - low))) for tick in ticks]}


def profiles(points: Sequence[ProfilePoint], methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each shown sample the values along its line, an SVG polyline a method."""
    found: dict[str, dict[str, str]] = {}
    for sample in dict.fromkeys(point.sample for point in points):
        own = [point for point in points if point.sample == sample]
        first, last = min(p.column for p in own), max(p.column for p in own)
        low, high = min(p.value for p in own), max(p.value for p in own)
        across, up = max(last - first, 1), (high - low) or 1.0
        found[sample] = {
            name: _line(((p.column - first) / across, (p.value - low) / up) for p in own if p.method == name)
            for name in ("original", *methods)
        }
    return found


def _measured(rows: Sequence[SampleScore]) -> set[str]:
    """The measures that at least one image has."""
    return {name for name in DEFINITIONS if any(getattr(row, name) is not None for row in rows)}


def _line(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{WIDTH * x:.2f},{HEIGHT * (1 - y):.2f}" for x, y in points)
