"""The report's sections on super-resolution beyond the tables of scores: certainty, consistency, cost and origin."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from components.adapters.training_runs import flattened, git_revision
from components.evidence.measures import DEFINITIONS
from components.handover import GENERATORS, METHODS, Layout, read_json, read_record, read_rows
from components.handover.methods import CHAMPION
from components.handover.names import CONFIG, LOCK, RECORD
from components.handover.sr_rows import (
    SIGNIFICANT,
    Comparison,
    CostLine,
    GroupScore,
    MethodSummary,
    ProfilePoint,
    SampleScore,
    SpectrumPoint,
)
from components.pages.labels import OPPONENTS, display_names

LOCAL_PAGES = "http://127.0.0.1:5000"  # where `medsr ui` and `medsr up` have MLflow's pages by default
ONE_PATIENT = "Scored on one patient: no test can tell the methods apart."
WIDTH, HEIGHT = 100.0, 60.0  # of a chart, in its own units


def evidence(layout: Layout, methods: Sequence[str], best: MethodSummary) -> dict[str, Any]:
    """The template's context of these sections. Raises `StepError` naming a file that is missing or malformed."""
    names = display_names(methods)
    comparisons = read_rows(layout.sr_comparisons, Comparison)
    samples = read_rows(layout.sr_samples, SampleScore)
    return {
        "modalities": groups(read_rows(layout.sr_modalities, GroupScore)),
        "patients": groups(read_rows(layout.sr_patients, GroupScore)),
        "comparisons": [
            {"against": against, "opponent": OPPONENTS[against], "measure": measure, "rows": list(rows)}
            for (against, measure), rows in groupby(comparisons, key=attrgetter("against", "measure"))
        ],
        "conclusions": conclusions(comparisons, names) if best.patients > 1 else [ONE_PATIENT],
        "certainty": certainty(best, comparisons),
        "definitions": DEFINITIONS,
        "measured": sorted(_measured(samples)),
        "large": sum(row.ms_ssim is not None for row in samples if row.method == best.method),
        "spectrum": spectrum(read_rows(layout.sr_spectrum, SpectrumPoint), methods),
        "profiles": profiles(read_rows(layout.sr_profiles, ProfilePoint), methods),
        "costs": costs(read_rows(layout.sr_cost, CostLine), configurations(layout, methods)),
        "unpriced": [names[name] for name in methods if name not in (*METHODS, CHAMPION)],
        "champion": read_json(layout.champion_report),
        "runs": (runs := [read_record(layout.model(name) / RECORD) for name in GENERATORS]),
        "addresses": {run.name: run_address(run.run_id) for run in runs},
        "tracked_at": tracking_server(),
        "digests": digests(layout.root / LOCK),
        "revision": git_revision(layout.root),
        "made_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def conclusions(comparisons: Sequence[Comparison], names: dict[str, str]) -> list[str]:
    """One sentence for each opponent: the result of the corrected tests of PSNR, or that there is none.

    The sign of the effect size tells who is better: it is over patients, as the test is. A patient with many images can
    turn the sign of the mean over images; the sentence says so beside the name.
    """
    sentences = []
    for against, rows in groupby((row for row in comparisons if row.measure == "psnr_db"), key=attrgetter("against")):
        family = list(rows)
        opponent = f"{names[family[0].against_method]}" + (f", {OPPONENTS[against]}" if against != "bicubic" else "")
        least = family[0].p_holm_least
        if least > SIGNIFICANT:
            sentences.append(
                f"Against {opponent}: {family[0].patients} patients are too few for any corrected test to fall below "
                f"{SIGNIFICANT}; the smallest it could give is {least:.3g}. Read the differences and their intervals."
            )
            continue
        significant = [row for row in family if row.p_holm < SIGNIFICANT]
        better = [_who(row, names) for row in significant if row.rank_biserial > 0]
        worse = [_who(row, names) for row in significant if row.rank_biserial < 0]
        parts = [f"{', '.join(who)} {verdict}" for who, verdict in ((better, "better"), (worse, "worse")) if who]
        sentences.append(
            f"Against {opponent}: {'; '.join(parts) or 'no difference that the corrected tests can tell'}."
        )
    return sentences


def _who(row: Comparison, names: dict[str, str]) -> str:
    name = names[row.method]
    if row.rank_biserial * row.difference >= 0:
        return name
    return f"{name} (for {row.patients_better} of {row.patients} patients; the mean over images says the opposite)"


def certainty(best: MethodSummary, comparisons: Sequence[Comparison]) -> str:
    """How certain the best method's gain over bicubic is, given its interval and the number of patients."""
    if best.patients == 1:
        return "It is the gain of one patient: there is no interval, and what another patient would give is not known."
    ends = " to ".join(signed(end) for end in (best.psnr_gain_db_low, best.psnr_gain_db_high))
    interval = f"The 95 % interval of that gain, drawn again over patients, is {ends} dB"
    least = next(row.p_holm_least for row in comparisons if (row.measure, row.against) == ("psnr_db", "bicubic"))
    if least > SIGNIFICANT:
        return (
            f"{interval}, but {best.patients} patients are too few to rule out chance: the smallest p that a corrected "
            f"test could give is {least:.3g}."
        )
    if best.psnr_gain_db_low <= 0:
        return f"{interval}: it holds zero, so the gain may be chance."
    return f"{interval}: it leaves zero out."


def number(value: float | None, decimals: int) -> str:
    """`value` rounded, a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value:.{decimals}f}".replace("-", "−")


def signed(value: float, decimals: int = 2) -> str:
    """`value` rounded, with its sign."""
    return f"{'+' if value >= 0 else ''}{number(value, decimals)}"


def counted(count: int, noun: str) -> str:
    """`1 patient`, `2 patients`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True)
class MethodCost:
    """The cost of a method. Its training includes that of the network whose weights it started from."""

    line: CostLine
    trained_on: str  # type of device, from its configuration; empty where unknown
    train_seconds: float | None  # `None` where unknown
    train_wh: float | None
    own_seconds: float | None  # its own training alone, where it started from another method of the table
    start: str  # what it started from: a method of the table, or a folder whose training cost is unknown


def costs(lines: Sequence[CostLine], configs: dict[str, dict[str, Any]]) -> list[MethodCost]:
    """The cost of each of `lines`; `configs` holds the configuration of each method."""
    by_method = {line.method: line for line in lines}
    return [_method_cost(line, by_method, configs.get(line.method, {})) for line in lines]


def _method_cost(line: CostLine, by_method: dict[str, CostLine], config: dict[str, Any]) -> MethodCost:
    device, training = config.get("device", ""), config.get("training", {})
    if line.method not in GENERATORS:
        return MethodCost(line, device, None, None, None, "")
    before = by_method.get(training.get("generator", ""))
    if before is None:
        folder = Path(training.get("start", "")).name
        return MethodCost(line, device, line.train_seconds, line.train_wh, None, folder)
    seconds, wh = line.train_seconds + before.train_seconds, line.train_wh + before.train_wh
    return MethodCost(line, device, seconds, wh, line.train_seconds, before.method)


def configurations(layout: Layout, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The `config.json` of each of `methods` that has weights."""
    folders = {name: layout.model(name) for name in GENERATORS} | {CHAMPION: layout.champion}
    return {name: read_json(folder / CONFIG) for name, folder in folders.items() if name in methods}


def since(layout: Layout, champion: dict[str, str], candidate: MethodSummary, names: dict[str, str]) -> str:
    """How the best network of this run differs from the champion before it: score, images and settings."""
    record = read_record(layout.model(candidate.method) / RECORD)
    version = f"{champion['name']} {champion['version']} ({names.get(champion['method'], champion['method'])})"
    if champion["weights_sha256"] == record.weights_sha256:
        return f"{names[candidate.method]} of this run and the champion before it, {version}, are the same weights."
    differences = [_score_since(layout, candidate.method)]
    if (layout.champion / CONFIG).is_file():
        previous, current = read_json(layout.champion / CONFIG), read_json(layout.model(candidate.method) / CONFIG)
        differences += [_images_since(previous, current), _settings_since(previous, current)]
    return f"Since the champion before, {version}, with {names[candidate.method]}: {'; '.join(differences)}."


def _score_since(layout: Layout, method: str) -> str:
    for row in read_rows(layout.sr_comparisons, Comparison):
        if (row.measure, row.against, row.method) == ("psnr_db", CHAMPION, method):
            return f"{signed(row.difference)} dB on the same images"
    return "not compared on the same images"


def _images_since(previous: dict[str, Any], current: dict[str, Any]) -> str:
    before, now = set(previous.get("trained_on", ())), set(current.get("trained_on", ()))
    if before == now:
        return f"the same {counted(len(now), 'training image')}"
    return f"{counted(len(now), 'training image')}, {len(now - before)} new and {len(before - now)} no longer there"


def _settings_since(previous: dict[str, Any], current: dict[str, Any]) -> str:
    """Every setting of training and network that differs; only the recipes where they differ."""
    before, now = (
        flattened({"network": config.get("network", {}), **config.get("training", {})})
        for config in (previous, current)
    )
    if before.get("recipe") != now.get("recipe"):
        return f"recipe {before.get('recipe')} → {now.get('recipe')}"
    names = sorted({*before, *now})
    changed = [f"{name} {before.get(name)} → {now.get(name)}" for name in names if before.get(name) != now.get(name)]
    return ", ".join(changed) or "the same settings"


def tracking_server() -> str:
    """The address of MLflow's pages for these runs, without a password; without a server, that of `medsr ui`."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    server = address if address.startswith(("http://", "https://")) else LOCAL_PAGES
    return re.sub(r"//[^/@\s]*@", "//", server).rstrip("/")


def run_address(run_id: str) -> str:
    """Where MLflow shows a run; empty for one that was not tracked."""
    return f"{tracking_server()}/#/runs/{run_id}" if run_id else ""


def digests(lock: Path) -> dict[str, str]:
    """DVC's digest of all data behind the scores, by path; empty without `dvc.lock`.

    These are the dependencies of `prepare` and `evaluate`. When one changes, both run again, and the report after them.
    """
    stages = yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}) if lock.is_file() else {}
    deps = [dep for name in ("prepare", "evaluate") for dep in stages.get(name, {}).get("deps", ())]
    return {dep["path"]: dep["md5"] for dep in deps if dep["path"].startswith("data/") and "md5" in dep}


def groups(rows: Sequence[GroupScore]) -> list[dict[str, Any]]:
    """One dictionary for each group, with each method's row."""
    return [
        {"group": group, "lines": {line.method: line for line in lines}}
        for group, lines in ((name, list(group_rows)) for name, group_rows in groupby(rows, key=attrgetter("group")))
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
    """For each shown sample, an SVG polyline of the values along its line for each method."""
    polylines: dict[str, dict[str, str]] = {}
    for sample in dict.fromkeys(point.sample for point in points):
        line_points = [point for point in points if point.sample == sample]
        first, last = min(p.column for p in line_points), max(p.column for p in line_points)
        low, high = min(p.value for p in line_points), max(p.value for p in line_points)
        width, span = max(last - first, 1), (high - low) or 1.0
        polylines[sample] = {
            name: _line(((p.column - first) / width, (p.value - low) / span) for p in line_points if p.method == name)
            for name in ("original", *methods)
        }
    return polylines


def _measured(rows: Sequence[SampleScore]) -> set[str]:
    """The measures that at least one image has."""
    return {name for name in DEFINITIONS if any(getattr(row, name) is not None for row in rows)}


def _line(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{WIDTH * x:.2f},{HEIGHT * (1 - y):.2f}" for x, y in points)
