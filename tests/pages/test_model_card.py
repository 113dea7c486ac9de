"""The card against the tables that it is made of."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from components.evidence.policy import Criterion
from components.handover import (
    IndexRow,
    Layout,
    LicenceRow,
    SplitRow,
    StepError,
    read_record,
    read_rows,
    write_json,
    write_rows,
)
from components.handover.classifier_rows import ClassifierSummary, SharpenedClassification
from components.handover.sr_rows import GroupScore, MethodSummary, SampleScore
from components.pages import model_card
from components.pages.super_resolution import number
from tests import tables
from tests.settings import small

LINES = (Criterion("mean PSNR (dB) at least", 24.0, 23.4567, False), Criterion("mean SSIM at least", 0.6, 0.81, True))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    tables.write_data(layout)
    tables.write_scores(layout)
    network = {"name": "rrdb", "blocks": 3, "scale": 4}
    config = {"network": network, "percentiles": [0.1, 99.9], "device": "cpu", "kept_step": 150}
    write_json(layout.model("esrgan") / "config.json", config | {"features": "features of the classifier"})
    write_json(layout.model("classifier") / "config.json", config | {"start": "random weights"})
    return layout


def of_generator(layout: Layout) -> str:
    record = read_record(layout.model("esrgan") / "run.json")
    return model_card.generator_card(layout, small(), record, "sr-generator 7", LINES)


def of_classifier(layout: Layout) -> str:
    record = replace(read_record(layout.model("esrgan") / "run.json"), name="classifier")
    return model_card.classifier_card(layout, record, "classifier 2", LINES[:1])


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0].strip()


def cells(text: str) -> dict[str, list[str]]:
    """The rows of the Markdown tables in `text` by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return {row[0]: row[1:] for row in rows}


def test_every_score_is_that_of_the_summary_with_its_interval(layout: Layout) -> None:
    summary = {line.method: line for line in read_rows(layout.sr_summary, MethodSummary)}
    esrgan, bicubic = summary["esrgan"], summary["bicubic"]
    scores = cells(section(of_generator(layout), "Scores"))

    def psnr(line: MethodSummary) -> str:
        return f"{line.psnr_db_mean:.2f} [{line.psnr_db_low:.2f}, {line.psnr_db_high:.2f}]"

    assert scores["PSNR (dB)"] == [psnr(esrgan), psnr(bicubic)]
    assert scores["SSIM"][0] == f"{esrgan.ssim_mean:.4f} [{esrgan.ssim_low:.4f}, {esrgan.ssim_high:.4f}]"
    assert scores["consistency with the input (dB)"] == [
        f"{esrgan.consistency_db_mean:.2f}",
        f"{bicubic.consistency_db_mean:.2f}",
    ]
    gain, low, high = (
        number(value, 2) for value in (esrgan.psnr_gain_db, esrgan.psnr_gain_db_low, esrgan.psnr_gain_db_high)
    )
    assert scores["PSNR over bicubic (dB)"][0] == f"{gain} [{low}, {high}]"
    for line in read_rows(layout.sr_modalities, GroupScore):
        if line.method == "esrgan":
            expected = [str(line.n), str(line.patients), f"{line.psnr_db_mean:.2f}", number(line.psnr_gain_db, 2)]
            assert scores[line.group] == expected


def test_a_card_says_what_it_is_of_what_for_and_where_it_comes_from(layout: Layout) -> None:
    card, record = of_generator(layout), read_record(layout.model("esrgan") / "run.json")
    assert card.startswith("# sr-generator 7: ESRGAN, ×4\n")
    assert "not a medical device" in card and "Apache-2.0" in card
    assert "Not for diagnosis" in section(card, "Intended use")
    assert "arXiv:1809.00219" in section(card, "Model") and "features of the classifier" in section(card, "Model")
    provenance = section(card, "Provenance")
    for digest in (record.weights_sha256, record.data_sha256, record.run_id, record.git_revision):
        assert f"`{digest}`" in provenance
    policy = cells(section(card, "Promotion policy"))
    assert policy["mean PSNR (dB) at least"] == ["24", "23.46", "no"]
    assert policy["mean SSIM at least"][-1] == "yes"


def test_a_source_comes_with_its_licence_or_with_how_to_state_it(layout: Layout) -> None:
    rows = read_rows(layout.index, IndexRow)
    named = {"super_resolution": "pydicom-data", "classification": "medmnist:breast|mnist"}
    write_rows(layout.index, IndexRow, (replace(row, source=named[row.task]) for row in rows))
    generator, classifier = of_generator(layout), of_classifier(layout)
    assert cells(section(generator, "Data"))["pydicom-data"][0].startswith("MIT; ")
    splits = [row for row in read_rows(layout.splits, SplitRow) if row.task == "super_resolution"]
    sides = [[row for row in splits if row.split == side] for side in ("train", "validation", "test")]
    expected = [f"{len(side)} of {len({row.patient_id for row in side})} patients" for side in sides]
    assert cells(section(generator, "Data"))["pydicom-data"][1:] == expected
    assert "not stated: add medmnist:breast\\|mnist to data/licences.csv" in classifier
    write_rows(layout.licences, LicenceRow, [LicenceRow(source="medmnist", licence="CC BY 4.0", terms="its authors")])
    assert "CC BY 4.0; its authors" in of_classifier(layout)


def test_where_it_loses_or_invents_is_named(layout: Layout) -> None:
    rows = read_rows(layout.sr_samples, SampleScore)
    esrgan = [replace(row, error_beyond=0.5) for row in rows if row.method == "esrgan"]
    bicubic = [row for row in rows if row.method == "bicubic"]
    groups = [line for line in read_rows(layout.sr_modalities, GroupScore) if line.method == "esrgan"]
    better = [
        replace(row, psnr_db=before.psnr_db + 1.5, consistency_worst_db=before.consistency_worst_db)
        for row, before in zip(esrgan, bicubic, strict=True)
    ]
    well = [replace(line, psnr_gain_db=1.5) for line in groups]
    failures = list(model_card.generator_failures(better, bicubic, well))
    assert len(failures) == 2 and failures[0].startswith("Least over bicubic on S1") and "7 patients" in failures[1]
    worse = [
        replace(better[0], psnr_db=bicubic[0].psnr_db - 2),
        replace(better[1], error_beyond=1.25),
        replace(better[2], consistency_worst_db=bicubic[2].consistency_worst_db - 1),
        *better[3:],
    ]
    text = "\n".join(model_card.generator_failures(worse, bicubic, [replace(well[0], psnr_gain_db=-0.1), *well[1:]]))
    assert f"Worse than bicubic by PSNR on 1 of 7 images: S1 ({esrgan[0].modality}) -2.00 dB." in text
    assert f"wrong more than right (error above 1) on S2 ({esrgan[1].modality}) 1.25." in text
    assert f"bicubic's worst part on S3 ({esrgan[2].modality})." in text
    assert f"No better than bicubic on average on {well[0].group}." in text


def test_a_modality_without_a_held_out_image_is_named(layout: Layout) -> None:
    failures = section(of_generator(layout), "Known failures")
    assert "Never scored on DX, NM, PT, MG: no held-out image." in failures


def test_a_classifier_says_what_it_missed_and_that_its_images_are_simulated(layout: Layout) -> None:
    card = of_classifier(layout)
    line = next(row for row in read_rows(layout.classifiers, ClassifierSummary) if row.classifier == "classifier")
    assert card.startswith("# classifier 2: DenseNet-201\n")
    scores = cells(section(card, "Scores"))
    assert scores["AUROC"] == [f"{line.auroc:.3f} [{line.auroc_low:.3f}, {line.auroc_high:.3f}]"]
    failures = section(card, "Known failures")
    assert f"Missed {line.false_negative} of {line.true_positive + line.false_negative}" in failures
    assert f"Called {line.false_positive} of {line.true_negative + line.false_positive}" in failures
    assert "Every held-out image is simulated" in failures


def test_one_patient_has_no_interval_and_the_enlargement_is_named_as_it_was(layout: Layout) -> None:
    tables.write_scores(layout, images=1, patients=1)
    rows = read_rows(layout.sr_classification, SharpenedClassification)
    write_rows(layout.sr_classification, SharpenedClassification, [replace(row, scale=2) for row in rows])
    scores = section(of_generator(layout), "Scores")
    assert "1 held-out image of 1 patient: no interval can be drawn from one." in scores
    assert "[" not in cells(scores)["PSNR (dB)"][0] + cells(scores)["PSNR over bicubic (dB)"][0]
    assert "ESRGAN's enlargements of its images at 1/2 of their resolution" in scores


def test_the_same_evidence_gives_the_same_card(layout: Layout) -> None:
    assert of_generator(layout) == of_generator(layout)
    assert not re.search(r"\{[{%]|None|\bnan\b", of_generator(layout) + of_classifier(layout))


def test_without_the_licences_it_is_said_which_file_is_missing(layout: Layout) -> None:
    layout.licences.unlink()
    with pytest.raises(StepError, match=r"licences\.csv: expected a table of LicenceRow"):
        of_generator(layout)
