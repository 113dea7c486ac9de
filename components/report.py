"""One self-contained page of everything a person wants to see: `python -m components.report`.

Every number in it is read from the tables and records of the steps before; nothing is computed but minima over rows.
"""

from __future__ import annotations

import base64
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from components.handover import (
    METHODS,
    SPLITS,
    IndexRow,
    Layout,
    MethodSummary,
    Replacing,
    SampleScore,
    SplitRow,
    StepError,
    read_json,
    read_rows,
)
from components.params import Params, ParamsError, Promote, load

TEMPLATE = Path(__file__).with_name("report.html.jinja")
NAMES = {
    "bicubic": "Bicubic",
    "srcnn": "SRCNN",
    "srresnet": "SRResNet",
    "srgan": "SRGAN",
    "rrdb": "RRDB",
    "esrgan": "ESRGAN",
}
FEW_PATIENTS = 20  # below this the page says that intervals over patients are rough


def run(layout: Layout, settings: Params) -> Path:
    """Writes `report.html` and gives its path. Raises `StepError` naming the file that is missing or not ours."""
    page = render(gather(layout, settings))
    with Replacing(layout.report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return layout.report


def gather(layout: Layout, settings: Params) -> dict[str, Any]:
    """All that the template shows."""
    summary = read_rows(layout.sr_summary, MethodSummary)
    samples = read_rows(layout.sr_samples, SampleScore)
    index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
    return {
        "names": NAMES,
        "methods": METHODS,
        "profile": settings.profile,
        "summary": summary,
        "best": summary[0],
        "few": summary[0].patients < FEW_PATIENTS,
        "policy": policy_lines(summary, settings.promote),
        "samples": by_sample(samples),
        "modalities": by_modality(samples),
        "charts": [chart(summary, "psnr_db", "PSNR (dB)"), chart(summary, "ssim", "SSIM")],
        "pictures": pictures(layout),
        "classifier": read_json(layout.classifier_report),
        "validation": read_json(layout.validation),
        "sides": sides(splits),
        "sources": sources(index),
        "quarantined": [row for row in index if row.quarantined],
    }


def render(content: dict[str, Any]) -> str:
    """The page, HTML; whatever came from outside is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(content)


def policy_lines(summary: Sequence[MethodSummary], policy: Promote) -> list[dict[str, Any]]:
    """The policy's lines that need no champion, held against the best generator."""
    best = next(line for line in summary if line.method != "bicubic")
    bicubic = next(line for line in summary if line.method == "bicubic")
    held = [
        ("mean PSNR (dB)", policy.floor_psnr_db, best.psnr_db_mean),
        ("mean SSIM", policy.floor_ssim, best.ssim_mean),
        ("PSNR over bicubic (dB)", policy.gain_over_bicubic_db, best.psnr_gain_db),
        ("mean SSIM, against bicubic's", bicubic.ssim_mean, best.ssim_mean),
    ]
    return [{"rule": rule, "wanted": wanted, "found": found, "holds": found >= wanted} for rule, wanted, found in held]


def by_sample(samples: Iterable[SampleScore]) -> list[dict[str, Any]]:
    """One entry a held-out image, with its score under each method."""
    found: dict[str, dict[str, Any]] = {}
    for row in samples:
        entry = found.setdefault(row.sample, {"sample": row.sample, "modality": row.modality, "scores": {}})
        entry["scores"][row.method] = row
    return list(found.values())


def by_modality(samples: Sequence[SampleScore]) -> list[dict[str, Any]]:
    """Mean PSNR and SSIM of each method within each modality: averages over modalities hide both."""
    entries = []
    for modality in sorted({row.modality for row in samples}):
        own = [row for row in samples if row.modality == modality]
        means = {}
        for method in METHODS:
            rows = [row for row in own if row.method == method]
            means[method] = {
                "psnr_db": sum(row.psnr_db for row in rows) / len(rows),
                "ssim": sum(row.ssim for row in rows) / len(rows),
            }
        images, patients = len({row.sample for row in own}), len({row.patient_id for row in own})
        entries.append({"modality": modality, "images": images, "patients": patients, "means": means})
    return entries


def chart(summary: Sequence[MethodSummary], measure: str, title: str) -> dict[str, Any]:
    """Bars of means with whiskers from minimum to maximum, as shares of the axis from 0 to the largest maximum."""
    lines = {line.method: line for line in summary}
    top = max(getattr(line, f"{measure}_max") for line in summary)
    bars = []
    for method in METHODS:
        low, mean, high = (getattr(lines[method], f"{measure}_{end}") for end in ("min", "mean", "max"))
        bars.append({"method": method, "low": low, "mean": mean, "high": high})
    return {"title": title, "top": top, "bars": bars, "decimals": 2 if measure == "psnr_db" else 4}


def pictures(layout: Layout) -> list[dict[str, Any]]:
    """The samples that are shown, radiographs first, their files as data URIs."""
    shown = read_json(layout.pictures / "pictures.json")
    for entry in shown:
        for files in entry["methods"].values():
            for kind, name in files.items():
                files[kind] = _data_uri(layout.pictures / name)
    return sorted(shown, key=lambda entry: entry["modality"] not in ("CR", "DX"))


def _data_uri(path: Path) -> Markup:
    if not path.is_file():
        raise StepError(f"{path}: expected a picture that pictures.json names, found none. Run evaluate again.")
    return Markup("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii"))


def sides(splits: Iterable[SplitRow]) -> list[dict[str, Any]]:
    """Images and patients on each side, by task."""
    rows = [row for row in splits if row.split]
    counted = []
    for task in sorted({row.task for row in rows}, reverse=True):
        for side in SPLITS:
            own = [row for row in rows if (row.task, row.split) == (task, side)]
            kinds = Counter(row.label or row.modality for row in own)
            about = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
            patients = len({row.patient_id for row in own})
            counted.append({"task": task, "side": side, "images": len(own), "patients": patients, "kinds": about})
    return counted


def sources(index: Iterable[IndexRow]) -> list[dict[str, Any]]:
    """What came from where, and how much of it was kept."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in index:
        start = {"task": row.task, "source": row.source, "simulated": False, "kept": 0, "quarantined": 0}
        entry = found.setdefault((row.task, row.source), start)
        entry["quarantined" if row.quarantined else "kept"] += 1
        entry["simulated"] |= row.simulated
    return list(found.values())


def main() -> int:
    try:
        path = run(Layout(), load(Path("params.yaml")))
    except (StepError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens without a network")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
