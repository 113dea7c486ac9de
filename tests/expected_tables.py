"""What every table of the report must show, from the files that it is made from."""

from __future__ import annotations

from collections.abc import Iterator

from components import report
from components.evidence.measures import DEFINITIONS
from components.handover import Layout, read_rows
from components.handover.classifier_rows import ClassifierSummary, DenoisingRow, SharpenedClassification
from components.handover.sr_rows import Comparison, GroupScore, MethodSummary
from components.pages.classifiers import effect
from components.pages.labels import CLASSIFIER_NAMES, DENOISERS, OPPONENTS
from components.params import Promote
from tests.expected_data_tables import data, provenance
from tests.expected_numbers import Rows, interval, many, names_of, plain, samples_of, signed, summary_of


def tables(layout: Layout, policy: Promote) -> dict[str, Rows]:
    """The cells of each table by its caption without spaces, none of its head's."""
    parts: tuple[Iterator[tuple[str, Rows]], ...] = (
        _policy(layout, policy),
        _scores(layout),
        _groups(layout),
        _comparisons(layout),
        _consistency(layout),
        _classifiers(layout),
        data(layout),
        provenance(layout),
    )
    return {"".join(caption.split()): rows for part in parts for caption, rows in part}


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
        "Decisions of each classifier on the held-out images",
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
