"""What the report says of super-resolution beyond the literature's tables: how sure, how consistent, at what cost."""

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
    """All that the template shows of it. Raises `StepError` naming the file that is missing or not ours."""
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
    """What the corrected tests of PSNR allow to say, a sentence an opponent; that nothing can be said is one, too.

    Who is better is the sign of the effect size, which is over patients as the test is; where the mean over images,
    which a patient with many images can decide alone, has the other sign, that is said beside the name.
    """
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
        told = [row for row in family if row.p_holm < SIGNIFICANT]
        better = [_who(row, names) for row in told if row.rank_biserial > 0]
        worse = [_who(row, names) for row in told if row.rank_biserial < 0]
        said = [f"{', '.join(who)} {how}" for who, how in ((better, "better"), (worse, "worse")) if who]
        found.append(f"Against {opponent}: {'; '.join(said) or 'no difference that the corrected tests can tell'}.")
    return found


def _who(row: Comparison, names: dict[str, str]) -> str:
    name = names[row.method]
    if row.rank_biserial * row.difference >= 0:
        return name
    return f"{name} (for {row.patients_better} of {row.patients} patients; the mean over images says the opposite)"


def certainty(best: MethodSummary, comparisons: Sequence[Comparison]) -> str:
    """What the verdict may say of the best method's gain over bicubic: no more than so many patients can bear."""
    if best.patients == 1:
        return "It is the gain of one patient: there is no interval, and what another patient would give is not known."
    ends = " to ".join(signed(end) for end in (best.psnr_gain_db_low, best.psnr_gain_db_high))
    said = f"The 95 % interval of that gain, drawn again over patients, is {ends} dB"
    least = next(row.p_holm_least for row in comparisons if (row.measure, row.against) == ("psnr_db", "bicubic"))
    if least > SIGNIFICANT:
        return (
            f"{said}, but {best.patients} patients are too few to rule out chance: the smallest p that a corrected "
            f"test could give is {least:.3g}."
        )
    if best.psnr_gain_db_low <= 0:
        return f"{said}: it holds zero, so the gain may be chance."
    return f"{said}: it leaves zero out."


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


def counted(many: int, what: str) -> str:
    """`1 patient`, `2 patients`."""
    return f"{many} {what}" if many == 1 else f"{many} {what}s"


@dataclass(frozen=True)
class Spent:
    """What a method cost, training with that of the network whose weights it went on from."""

    line: CostLine
    trained_on: str  # the kind of device that its own configuration names; empty where that is not known
    train_seconds: float | None  # none where it is not known
    train_wh: float | None
    own_seconds: float | None  # its own training alone, where it went on from another of the table
    start: str  # what it went on from: a method, or a folder of which it is not known what it took


def costs(lines: Sequence[CostLine], configs: dict[str, dict[str, Any]]) -> list[Spent]:
    """One for each of `lines`; `configs` are those of the models, by method."""
    by_method = {line.method: line for line in lines}
    return [_spent(line, by_method, configs.get(line.method, {})) for line in lines]


def _spent(line: CostLine, by_method: dict[str, CostLine], config: dict[str, Any]) -> Spent:
    device, training = config.get("device", ""), config.get("training", {})
    if line.method not in GENERATORS:
        return Spent(line, device, None, None, None, "")
    before = by_method.get(training.get("generator", ""))
    if before is None:
        folder = Path(training.get("start", "")).name
        return Spent(line, device, line.train_seconds, line.train_wh, None, folder)
    seconds, wh = line.train_seconds + before.train_seconds, line.train_wh + before.train_wh
    return Spent(line, device, seconds, wh, line.train_seconds, before.method)


def configurations(layout: Layout, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each of `methods` that has weights was made with, as `config.json` beside them says."""
    folders = {name: layout.model(name) for name in GENERATORS} | {CHAMPION: layout.champion}
    return {name: read_json(folder / CONFIG) for name, folder in folders.items() if name in methods}


def since(layout: Layout, champion: dict[str, str], candidate: MethodSummary, names: dict[str, str]) -> str:
    """What sets the best network of this run apart from the champion before it, as far as their files say."""
    record = read_record(layout.model(candidate.method) / RECORD)
    about = f"{champion['name']} {champion['version']} ({names.get(champion['method'], champion['method'])})"
    if champion["weights_sha256"] == record.weights_sha256:
        return f"{names[candidate.method]} of this run and the champion before it, {about}, are the same weights."
    said = [_score_since(layout, candidate.method)]
    if (layout.champion / CONFIG).is_file():
        old, new = read_json(layout.champion / CONFIG), read_json(layout.model(candidate.method) / CONFIG)
        said += [_images_since(old, new), _settings_since(old, new)]
    return f"Since the champion before, {about}, with {names[candidate.method]}: {'; '.join(said)}."


def _score_since(layout: Layout, method: str) -> str:
    for row in read_rows(layout.sr_comparisons, Comparison):
        if (row.measure, row.against, row.method) == ("psnr_db", CHAMPION, method):
            return f"{signed(row.difference)} dB on the same images"
    return "not compared on the same images"


def _images_since(old: dict[str, Any], new: dict[str, Any]) -> str:
    before, now = set(old.get("trained_on", ())), set(new.get("trained_on", ()))
    if before == now:
        return f"the same {counted(len(now), 'training image')}"
    return f"{counted(len(now), 'training image')}, {len(now - before)} new and {len(before - now)} no longer there"


def _settings_since(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Every setting of training and network that differs; the recipes alone where those do."""
    before, now = (flattened({"network": one.get("network", {}), **one.get("training", {})}) for one in (old, new))
    if before.get("recipe") != now.get("recipe"):
        return f"recipe {before.get('recipe')} → {now.get('recipe')}"
    names = sorted({*before, *now})
    changed = [f"{name} {before.get(name)} → {now.get(name)}" for name in names if before.get(name) != now.get(name)]
    return ", ".join(changed) or "the same settings"


def tracking_server() -> str:
    """The address of MLflow's pages that these runs have, without a password; that of `medsr ui` without a server."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    known = address if address.startswith(("http://", "https://")) else LOCAL_PAGES
    return re.sub(r"//[^/@\s]*@", "//", known).rstrip("/")


def run_address(run_id: str) -> str:
    """Where MLflow shows a run; empty for one that was not tracked."""
    return f"{tracking_server()}/#/runs/{run_id}" if run_id else ""


def digests(lock: Path) -> dict[str, str]:
    """DVC's digest of all data that the scores were made from, by path; empty without `dvc.lock`.

    As `prepare` and `evaluate` found them: whatever of it changes, both run again, and the report after them.
    """
    stages = yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}) if lock.is_file() else {}
    found = [one for name in ("prepare", "evaluate") for one in stages.get(name, {}).get("deps", ())]
    return {one["path"]: one["md5"] for one in found if one["path"].startswith("data/") and "md5" in one}


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
