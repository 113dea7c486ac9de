"""What every table of the report must show, from the files that it is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from components import report
from components.evidence.measures import DEFINITIONS
from components.handover import (
    GENERATORS,
    SPLITS,
    IndexRow,
    Layout,
    SplitRow,
    read_json,
    read_record,
    read_rows,
)
from components.handover.classifier_rows import ClassifierSummary, DenoisingRow, SharpenedClassification
from components.handover.methods import CHAMPION
from components.handover.sr_rows import Comparison, CostLine, GroupScore, MethodSummary, SampleScore
from components.pages.classifiers import effect
from components.pages.labels import CLASSIFIER_NAMES, DENOISERS, OPPONENTS, display_names
from components.params import Promote

Rows = list[list[str]]


def tables(layout: Layout, policy: Promote) -> dict[str, Rows]:
    """The cells of each table by its caption without spaces, none of its head's."""
    parts: tuple[Iterator[tuple[str, Rows]], ...] = (
        _policy(layout, policy),
        _scores(layout),
        _groups(layout),
        _comparisons(layout),
        _consistency(layout),
        _classifiers(layout),
        _data(layout),
        _provenance(layout),
    )
    return {"".join(caption.split()): rows for part in parts for caption, rows in part}


def plain(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


def signed(value: float, decimals: int = 2) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def interval(line: object, name: str, decimals: int, form: Callable[[float, int], str] = signed) -> str:
    return f"[{form(getattr(line, f'{name}_low'), decimals)}, {form(getattr(line, f'{name}_high'), decimals)}]"


def many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def summary_of(layout: Layout) -> list[MethodSummary]:
    return sorted(read_rows(layout.sr_summary, MethodSummary), key=lambda line: -line.psnr_db_mean)


def samples_of(layout: Layout) -> tuple[list[SampleScore], list[str], list[str]]:
    """Every row, the samples, and the methods, in the file's order."""
    rows = read_rows(layout.sr_samples, SampleScore)
    return rows, list(dict.fromkeys(row.sample for row in rows)), list(dict.fromkeys(row.method for row in rows))


def names_of(layout: Layout) -> dict[str, str]:
    return display_names(samples_of(layout)[2])


def _policy(layout: Layout, policy: Promote) -> Iterator[tuple[str, Rows]]:
    best = report.best_generator(summary_of(layout))
    read = next(
        line for line in read_rows(layout.sr_classification, SharpenedClassification) if line.shown == best.method
    )
    auroc = max(line.auroc for line in read_rows(layout.classifiers, ClassifierSummary))
    lines = report.policy_lines(summary_of(layout), auroc, read, policy)
    held = {True: "✓ yes", False: "✗ no"}
    yield "", [[line.rule, plain(line.wanted, 3), plain(line.found, 3), held[line.holds]] for line in lines]


def _scores(layout: Layout) -> Iterator[tuple[str, Rows]]:
    lines, names = summary_of(layout), names_of(layout)
    over = f" with its 95 % interval over {lines[0].patients} patients" if lines[0].patients > 1 else ""
    yield (
        f"Minimum to maximum over {many(lines[0].n, 'image')}; gain over bicubic{over}",
        [_min_max(line, names[line.method]) for line in lines],
    )
    for measure, title, decimals in (("psnr_db", "PSNR (dB)", 2), ("ssim", "SSIM", 4)):
        yield f"{title} of each held-out image; the highest of each is marked", _by_sample(layout, measure, decimals)


def _min_max(line: MethodSummary, name: str) -> list[str]:
    gain = signed(line.psnr_gain_db) + (f" {interval(line, 'psnr_gain_db', 2)}" if line.patients > 1 else "")
    return [
        name,
        f"{plain(line.psnr_db_min, 2)} – {plain(line.psnr_db_max, 2)}",
        plain(line.psnr_db_mean, 2),
        f"{plain(line.ssim_min, 4)} – {plain(line.ssim_max, 4)}",
        plain(line.ssim_mean, 4),
        plain(line.psnr_body_db_mean, 2),
        plain(line.ssim_body_mean, 4),
        "–" if line.method == "bicubic" else gain,
    ]


def _by_sample(layout: Layout, measure: str, decimals: int) -> Rows:
    rows, samples, methods = samples_of(layout)
    cell = {(row.sample, row.method): plain(getattr(row, measure), decimals) for row in rows}
    if len(samples) <= 8:
        return [[names_of(layout)[method], *(cell[sample, method] for sample in samples)] for method in methods]
    modality = {row.sample: row.modality for row in rows}
    return [[sample, modality[sample], *(cell[sample, method] for method in methods)] for sample in samples]


def _groups(layout: Layout) -> Iterator[tuple[str, Rows]]:
    methods = samples_of(layout)[2]
    for path, title, with_modality in (
        (layout.sr_modalities, "within each modality", False),
        (layout.sr_patients, "of each patient", True),
    ):
        lines = read_rows(path, GroupScore)
        found = []
        for group in dict.fromkeys(line.group for line in lines):
            own = {line.method: line for line in lines if line.group == group}
            first = own["bicubic"]
            about = [group, *([first.modality] if with_modality else []), str(first.n), str(first.patients)]
            means = [f"{plain(own[name].psnr_db_mean, 2)} {plain(own[name].ssim_mean, 4)}" for name in methods]
            found.append([*about, *means])
        yield f"Mean PSNR (dB), and SSIM below it, {title}", found


def _comparisons(layout: Layout) -> Iterator[tuple[str, Rows]]:
    names, rows = names_of(layout), read_rows(layout.sr_comparisons, Comparison)
    for measure, against in dict.fromkeys((row.measure, row.against) for row in rows):
        own = [row for row in rows if (row.measure, row.against) == (measure, against)]
        who = OPPONENTS[against] + ("" if against == "bicubic" else f", {names[own[0].against_method]}")
        decimals = 2 if measure == "psnr_db" else 4
        yield f"{DEFINITIONS[measure][0]} against {who}", [_compared(row, names, decimals) for row in own]


def _compared(row: Comparison, names: dict[str, str], decimals: int) -> list[str]:
    return [
        names[row.method],
        signed(row.difference, decimals),
        interval(row, "difference", decimals) if row.patients > 1 else "–",
        f"{row.patients_better} of {row.patients}",
        signed(row.rank_biserial),
        f"{row.p:.3g}",
        f"{row.p_holm:.3g}",
    ]


def _consistency(layout: Layout) -> Iterator[tuple[str, Rows]]:
    lines, names = summary_of(layout), names_of(layout)
    rows = samples_of(layout)[0]
    large = sum(row.ms_ssim is not None for row in rows if row.method == lines[0].method)
    images = many(lines[0].n, "image")
    yield (
        f"Means over {images}, and the worst of them",
        [
            [
                names[line.method],
                *(plain(value, 2) for value in (line.consistency_db_mean, line.consistency_worst_db_min)),
                signed(line.consistency_gain_db_min),
                *(plain(value, 3) for value in (line.error_beyond_mean, line.error_beyond_max)),
                plain(line.error_beyond_worst_max, 2),
                plain(line.energy_beyond_mean, 3),
            ]
            for line in lines
        ],
    )
    yield (
        "Errors by frequency as shares of the original's energy, edges, and similarity over scales; means over "
        f"{images}, MS-SSIM over the {large} of them with sides long enough for it",
        [
            [
                *(names[line.method], plain(line.error_low_mean, 4), plain(line.error_middle_mean, 3)),
                *(plain(line.edge_error_mean, 3), plain(line.ms_ssim_mean, 4), plain(line.lpips_mean, 4)),
            ]
            for line in lines
        ],
    )
    yield "Every measure, with its formula and its source", [list(one) for one in DEFINITIONS.values()]


def _classifiers(layout: Layout) -> Iterator[tuple[str, Rows]]:
    lines, shown = (
        read_rows(layout.classifiers, ClassifierSummary),
        read_rows(layout.sr_classification, SharpenedClassification),
    )
    yield (
        "Every classifier, the highest AUROC first, with 95 % bootstrap intervals over patients; the difference is "
        "from DenseNet-201, paired by patient",
        [_classifier(line) for line in lines],
    )
    yield (
        "What each classifier called the held-out images",
        [
            [
                CLASSIFIER_NAMES[line.classifier],
                *map(str, (line.true_positive, line.false_negative, line.true_negative, line.false_positive)),
            ]
            for line in lines
        ],
    )
    yield (
        "Denoising before a classical classifier, with 95 % bootstrap intervals over patients; the difference is from "
        "none, paired",
        [_denoised(line) for line in read_rows(layout.denoising, DenoisingRow)],
    )
    who = f"{many(shown[0].n, 'image')} of {many(shown[0].patients, 'patient')}"
    names = names_of(layout) | {"original": "Original", "downsampled": "Downsampled"}
    yield (
        f"{who}, with 95 % bootstrap intervals over patients",
        [
            [
                names[line.shown],
                f"{plain(line.auroc, 3)} {interval(line, 'auroc', 3, plain)}",
                f"{signed(line.auroc_cost, 3)} {interval(line, 'auroc_cost', 3)}",
                f"{plain(line.agreement, 3)} {interval(line, 'agreement', 3, plain)}",
                plain(line.probability_shift, 3),
                "" if line.shown == "original" else effect(line),
            ]
            for line in shown
        ],
    )


def _classifier(line: ClassifierSummary) -> list[str]:
    def cell(name: str) -> str:
        return f"{plain(getattr(line, name), 3)} {interval(line, name, 3, plain)}"

    gain = f"{signed(line.auroc_gain, 3)} {interval(line, 'auroc_gain', 3)}" if line.classifier != "classifier" else ""
    rest = ("accuracy", "sensitivity", "specificity", "average_precision", "calibration_error")
    about = [CLASSIFIER_NAMES[line.classifier], cell("auroc"), gain, plain(line.train_seconds, 0)]
    return [*about, *map(cell, rest), plain(line.threshold, 4)]


def _denoised(line: DenoisingRow) -> list[str]:
    gain = f"{signed(line.auroc_gain, 3)} {interval(line, 'auroc_gain', 3)}" if line.method != "none" else ""
    return [
        DENOISERS[line.method],
        f"{plain(line.auroc, 3)} {interval(line, 'auroc', 3, plain)}",
        gain,
        plain(line.noise_removed_db, 1),
        plain(1000 * line.seconds_per_image, 1),
    ]


def _data(layout: Layout) -> Iterator[tuple[str, Rows]]:
    index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
    expectations = read_json(layout.validation)["expectations"]
    failed = [one for one in expectations if not one["success"]]
    if failed:
        yield "What did not hold", [_failed(one) for one in failed]
    yield (
        "What came from where",
        [_source(index, *key) for key in dict.fromkeys((row.task, row.source) for row in index)],
    )
    used = [row for row in splits if row.split]
    tasks = sorted({row.task for row in used}, reverse=True)
    yield "Split by patient: nobody is on two sides", [_side(used, task, side) for task in tasks for side in SPLITS]
    left_out = Counter(row.reason for row in splits if not row.split and not row.reason.startswith("quarantined"))
    quarantined = [row for row in index if row.quarantined]
    kinds = Counter(report.kind_of(row.reason) for row in quarantined)
    for title, counted in (("kept and not used, by reason", left_out), ("quarantined, by reason", kinds)):
        if counted:
            yield f"Images {title}", [[reason, str(count)] for reason, count in counted.most_common()]
    if quarantined:
        apart = Counter((report.shown_name(row), row.reason) for row in quarantined)
        rows = [[name, str(count), reason] for (name, reason), count in apart.most_common()]
        yield "What was quarantined, and why", rows
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


def _provenance(layout: Layout) -> Iterator[tuple[str, Rows]]:
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
