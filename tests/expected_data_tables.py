"""What the report's tables of data, costs and provenance must show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from components import report
from components.handover import GENERATORS, SPLITS, IndexRow, Layout, SplitRow, read_json, read_record, read_rows
from components.handover.methods import CHAMPION
from components.handover.sr_rows import CostLine
from components.pages.labels import display_names
from tests.expected_numbers import Rows, names_of, plain


def data(layout: Layout) -> Iterator[tuple[str, Rows]]:
    index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
    expectations = read_json(layout.validation)["expectations"]
    failed = [one for one in expectations if not one["success"]]
    if failed:
        yield "Expectations that failed", [_failed(one) for one in failed]
    yield (
        "Images by source",
        [_source(index, *key) for key in dict.fromkeys((row.task, row.source) for row in index)],
    )
    used = [row for row in splits if row.split]
    tasks = sorted({row.task for row in used}, reverse=True)
    yield "Split by patient", [_side(used, task, side) for task in tasks for side in SPLITS]
    left_out = Counter(row.reason for row in splits if not row.split and not row.reason.startswith("quarantined"))
    quarantined = [row for row in index if row.quarantined]
    kinds = Counter(report.kind_of(row.reason) for row in quarantined)
    for title, counted in (("kept and not used, by reason", left_out), ("quarantined, by reason", kinds)):
        if counted:
            yield f"Images {title}", [[reason, str(count)] for reason, count in counted.most_common()]
    if quarantined:
        apart = Counter((report.shown_name(row), row.reason) for row in quarantined)
        rows = [[name, str(count), reason] for (name, reason), count in apart.most_common()]
        yield "Quarantined files, with the reason", rows
    held = {True: "✓ yes", False: "✗ no"}
    yield (
        "Every expectation, and whether it holds",
        [[_words(one["name"]), one["severity"], one["meaning"], held[one["success"]]] for one in expectations],
    )


def _failed(one: dict[str, Any]) -> list[str]:
    found = f"{one['observed']} {' '.join(one['unexpected'])} What to do: {one['remedy']}"
    return [_words(one["name"]), one["severity"], one["meaning"], found]


def _source(index: list[IndexRow], task: str, source: str) -> list[str]:
    own = [row for row in index if (row.task, row.source) == (task, source)]
    counts = Counter(row.quarantined for row in own)
    tag = " simulated" if any(row.simulated for row in own) else ""
    return [source + tag, task.replace("_", "-"), str(counts[False]), str(counts[True])]


def _side(used: list[SplitRow], task: str, side: str) -> list[str]:
    own = [row for row in used if (row.task, row.split) == (task, side)]
    kinds = sorted(Counter(row.label or row.modality for row in own).items())
    patients = len({row.patient_id for row in own})
    about = _words(", ".join(f"{kind} {count}" for kind, count in kinds))
    return [task.replace("_", "-"), side, str(len(own)), str(patients), about]


def _words(name: str) -> str:
    return name.replace("_", " ")


def provenance(layout: Layout) -> Iterator[tuple[str, Rows]]:
    names = names_of(layout)
    lines = {line.method: line for line in read_rows(layout.sr_cost, CostLine)}
    caption = "Training as recorded with each model, sharpening as measured here"
    yield caption, [[names[line.method], *_cost(layout, line, lines)] for line in lines.values()]
    records = [read_record(layout.model(name) / "run.json") for name in GENERATORS]
    yield (
        "The generators that were scored",
        [
            [
                *(names[one.name], one.run_id or "not tracked", "settings curves", one.git_revision or "none"),
                *(one.weights_sha256[:16], one.data_sha256[:16]),
            ]
            for one in records
        ],
    )
    lock = layout.root / "dvc.lock"
    if lock.is_file():
        stages = yaml.safe_load(lock.read_text())["stages"]
        deps = {one["path"]: one["md5"] for name in ("prepare", "evaluate") for one in stages[name]["deps"]}
        rows = [[path, digest] for path, digest in deps.items() if path.startswith("data/")]
        yield "The data that the scores were made from, as dvc.lock has it", rows


def _cost(layout: Layout, line: CostLine, lines: dict[str, CostLine]) -> list[str]:
    here = [plain(line.seconds_per_megapixel, 2), plain(line.sharpen_wh_per_image, 4), plain(line.peak_memory_mb, 0)]
    if line.method == "bicubic":
        return ["none", "none", "not trained", "none", "none", *here]
    config = read_json((layout.champion if line.method == CHAMPION else layout.model(line.method)) / "config.json")
    about = [str(line.parameters), plain(line.weights_mb, 2), config["device"]]
    training = config["training"]
    before = {"srgan": "srresnet", "esrgan": "rrdb"}.get(line.method)
    if line.method == CHAMPION:
        return [*about, "–", "–", *here]
    if before:
        seconds = f"{line.train_seconds + lines[before].train_seconds:.0f} {line.train_seconds:.0f} after "
        energy = plain(line.train_wh + lines[before].train_wh, 2)
        return [*about, seconds + display_names([before])[before], energy, *here]
    after = f" after {training['start'].split('/')[-1]}, not counted" if training.get("start") else ""
    return [*about, plain(line.train_seconds, 0) + after, plain(line.train_wh, 2), *here]
