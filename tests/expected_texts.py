"""What every text of the report with a number in it must say, in the order of the page, from the files it is made from.

Texts without any setting or score in them are the template's own and not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.evidence.policy import best_generator
from components.handover import METHODS, IndexRow, Layout, read_json, read_rows
from components.handover.classifier_rows import ClassifierSummary, SharpenedClassification
from components.handover.methods import CLASSIFIERS
from components.handover.sr_rows import Comparison, CostLine, MethodSummary, SpectrumPoint
from components.pages.classifiers import effect, standing
from components.pages.labels import CLASSIFIER_NAMES
from components.pages.super_resolution import certainty, conclusions, since
from tests.expected_numbers import many, names_of, plain, samples_of, signed, summary_of


def texts(layout: Layout, profile: str) -> Iterator[str]:
    """Each text between two elements; also labels that are spoken."""
    yield f"Profile {profile}, ×{samples_of(layout)[0][0].scale} enlargement. Research software, not a medical device."
    yield from _verdict(layout)
    yield from _pictures(layout)
    yield from _charts(layout)
    yield from _heads(layout)
    yield from _certainty(layout)
    yield from _spectrum(layout)
    yield from _classifiers(layout)
    yield from _reading(layout)
    yield from _data(layout)
    yield from _cost(layout)
    yield (
        "This page was made  from the scores of the weights and data named here. Runs "
        "open at http://127.0.0.1:5000, on this machine while medsr ui runs; settings and curves are files of the "
        "project that this page lies in."
    )


def _verdict(layout: Layout) -> Iterator[str]:
    lines, names = summary_of(layout), names_of(layout)
    best, second = lines[:2]
    bicubic = next(line for line in lines if line.method == "bicubic")
    beaten = best.method != "bicubic"
    gain = f", {signed(best.psnr_gain_db)} dB over bicubic" if beaten else ": no network beat plain interpolation"
    images, patients = many(best.n, "held-out image"), many(best.patients, "patient")
    yield f"{names[best.method]} is first by mean PSNR on {images} of {patients}{gain}."
    if beaten:
        said = certainty(best, read_rows(layout.sr_comparisons, Comparison))
        yield f"{said} {names[second.method]} follows with {plain(second.psnr_db_mean, 2)} dB."
    if 1 < best.patients < 20:
        yield (
            f"{patients} are few. Intervals over so few are rough, and another {best.patients} could order close "
            "methods otherwise."
        )
    champion = read_json(layout.champion_report)
    if champion:
        about = f"medsr models show {champion['version']} has its commit and data digests."
        yield f"{since(layout, champion, best_generator(lines), names)} {about}"
    yield f"Mean PSNR, {names[best.method]}"
    yield f"{plain(best.psnr_db_mean, 2)} dB bicubic {plain(bicubic.psnr_db_mean, 2)} dB"
    yield f"Mean SSIM, {names[best.method]}"
    yield f"{plain(best.ssim_mean, 4)} bicubic {plain(bicubic.ssim_mean, 4)}"
    yield f"{plain(best.psnr_body_db_mean, 2)} dB bicubic {plain(bicubic.psnr_body_db_mean, 2)} dB"
    auroc = read_json(layout.classifier_report)["auroc"]
    yield f"{plain(auroc['value'], 3)} 95 % interval {plain(auroc['low'], 3)} to {plain(auroc['high'], 3)}"


def _pictures(layout: Layout) -> Iterator[str]:
    rows, _, methods = samples_of(layout)
    names = names_of(layout)
    for shown in read_json(layout.pictures / "pictures.json"):
        sample = shown["sample"]
        own = {row.method: row for row in rows if row.sample == sample}
        yield sample
        yield f"{shown['rank']} · {own['bicubic'].modality}, ×{shown['scale']} · window: {shown['display']}"
        yield f"{sample}: share of the width that shows bicubic"
        yield f"{sample}: method right of the line"
        yield from (f"{names[one]}, {plain(own[one].psnr_db, 2)} dB" for one in methods if one != "bicubic")
        yield f"Input, ÷{shown['scale']}"
        yield from (f"{names[one]} {plain(own[one].psnr_db, 2)} dB {plain(own[one].ssim, 4)}" for one in methods)
        yield f"{sample}: values along row {shown['profile_row']} of the image, across the detail"
        yield f"Values along row {shown['profile_row']} of the image, across the detail:"


def _charts(layout: Layout) -> Iterator[str]:
    lines, names = summary_of(layout), names_of(layout)
    order = sorted(lines, key=lambda line: METHODS.index(line.method) if line.method in METHODS else len(METHODS))
    for measure, title, step, decimals in (("psnr_db", "PSNR (dB)", 10.0, 2), ("ssim", "SSIM", 0.2, 4)):

        def value(line: MethodSummary, end: str, measure: str = measure, decimals: int = decimals) -> str:
            return plain(getattr(line, f"{measure}_{end}"), decimals)

        means = ", ".join(f"{names[line.method]} {value(line, 'mean')}" for line in order)
        yield f"{title}, mean of each method with whiskers from minimum to maximum: {means}"
        for line in order:
            yield names[line.method]
            yield f"from {value(line, 'min')} to {value(line, 'max')}"
            yield value(line, "mean")
        top = math.ceil(max(getattr(line, f"{measure}_max") for line in lines) / step)
        yield from (f"{step * number:g}" for number in range(top + 1))
        yield f"{title}: mean over {many(lines[0].n, 'image')}, whiskers from minimum to maximum"


def _heads(layout: Layout) -> Iterator[str]:
    """Of the tables whose columns are images or methods."""
    rows, samples, _ = samples_of(layout)
    names, modality = names_of(layout), {row.sample: row.modality for row in rows}
    for _ in ("psnr_db", "ssim"):
        yield from (f"{sample} {modality[sample]}" for sample in samples) if len(samples) <= 8 else names.values()
    for _ in ("modalities", "patients"):
        yield from names.values()


def _certainty(layout: Layout) -> Iterator[str]:
    if summary_of(layout)[0].patients > 1:
        yield from conclusions(read_rows(layout.sr_comparisons, Comparison), names_of(layout))
    champion = read_json(layout.champion_report)
    if champion:
        found = f"; it could not be compared: {champion['left_out']}" if "left_out" in champion else ""
        about = f"{champion['name']} {champion['version']} ({champion['method']})"
        yield f"Before this run {about} was in service{found or '; the tables call it “Champion before”'}."


def _spectrum(layout: Layout) -> Iterator[str]:
    power = [point.power_db for point in read_rows(layout.sr_spectrum, SpectrumPoint)]
    low, high = 10 * math.floor(min(power) / 10), 10 * math.ceil(max(power) / 10)
    yield from (f"{tick:g}" for tick in range(low, high + 1, 20))
    names = names_of(layout)
    yield from names.values()
    yield from ("0", "0.1", "0.2", "0.3", "0.4", "0.5")
    yield from names.values()


def _classifiers(layout: Layout) -> Iterator[str]:
    record, made = read_json(layout.classifier_report), read_json(layout.generated_images)
    positive = record["positive"].replace("_", " ")
    who = f"{many(record['n'], 'held-out image')} of {many(record['patients'], 'patient')}"
    yield (
        f"Detection of {positive} in {who}. Probabilities are calibrated, and thresholds chosen, on validation "
        "patients."
    )
    yield standing(read_rows(layout.classifiers, ClassifierSummary))
    for _ in range(3):
        yield from ("0.0", "0.0", "0.5", "0.5", "1.0", "1.0")
        yield from (CLASSIFIER_NAMES[name] for name in CLASSIFIERS)
    yield from (CLASSIFIER_NAMES[name] for name in CLASSIFIERS)
    more, one = f"image{'s' if made['images'] != 1 else ''}", made["copies"] == 1
    lie, left = ("lies", "was left out as a copy") if one else ("lie", "were left out as copies")
    yield (
        f"A class-conditional DCGAN, trained on the same patients, generated {made['images']} {more} of "
        f"{made['label'].replace('_', ' ')}; {made['copies']} of them {lie} nearer to a training patient than 95 % of "
        f"validation patients do, shifted and mirrored as well, and {left}. “DenseNet-201, generated images too” is "
        "trained on the rest as well; the first table shows the difference. A generated image is "
        f"{plain(made['median_made'], 3)} away from its nearest training patient, a validation image "
        f"{plain(made['median_held_out'], 3)} (medians of root mean squared differences). The generated image is "
        f"farther away in {plain(100 * made['farther_share'], 0)} % of pairs (z = {signed(made['z'])}; far below 0, "
        "the generator copies or its images are blurred)."
    )
    for pair in made["nearest"]:
        left = ", left out" if pair["left_out"] else ""
        yield f"{plain(pair['distance'], 3)} apart{left}: generated, and the nearest training patient"
    for shown in read_json(layout.classifier_pictures / "pictures.json"):
        read, threshold = plain(shown["probability"], 3), plain(shown["threshold"], 3)
        yield f"{shown['kind']}: {shown['label'].replace('_', ' ')}, probability {read}, threshold {threshold}"


def _reading(layout: Layout) -> Iterator[str]:
    best = best_generator(summary_of(layout)).method
    line = next(one for one in read_rows(layout.sr_classification, SharpenedClassification) if one.shown == best)
    told = "" if effect(line).startswith("too few") else " in these patients"
    yield f"{names_of(layout)[best]}: {effect(line)}{told}."
    yield (
        f"DenseNet-201, trained on originals, classifies each held-out image three times: the original, at "
        f"1/{line.scale} of its resolution, and as each method restores it. The cost is the AUROC lost against the "
        "originals, paired by patient."
    )


def _data(layout: Layout) -> Iterator[str]:
    record = read_json(layout.validation)
    expectations, failed = record["expectations"], sum(not one["success"] for one in record["expectations"])
    yield (
        f"{many(record['images'], 'image')} kept, {record['quarantined']} quarantined. Of {len(expectations)} "
        f"expectations of them {f'{failed} did not hold' if failed else 'every one held'}; the verdict is "
        f"{'passed' if record['passed'] else 'failed'}."
    )
    quarantined = sum(row.quarantined for row in read_rows(layout.index, IndexRow))
    if quarantined:
        yield f"All {many(quarantined, 'quarantined file')}"
    yield f"All {len(expectations)} expectations"


def _cost(layout: Layout) -> Iterator[str]:
    lines, names = read_rows(layout.sr_cost, CostLine), names_of(layout)
    others = [name for method, name in names.items() if method not in {line.method for line in lines}]
    unknown = f", and nothing is known of what {', '.join(others)} cost" if others else ""
    yield (
        f"Sharpening was measured by this evaluation, on {lines[0].device}. A training is not repeated where "
        "nothing changed, so it may be from another day and machine: its duration and device come from the model's "
        "record. The training that a network started from is added. Energy is an estimate: seconds times the watts "
        "that evaluate.watts assumes, of whichever machine. A dash stands for what is not "
        f"known{unknown}."
    )
