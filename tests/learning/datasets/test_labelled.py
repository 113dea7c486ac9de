from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.handover import LabelledRow, StepError, read_rows, write_rows
from components.learning.datasets.labelled import classes_of, held_out_digest, load_labelled
from tests import prepared


def test_one_label_or_an_unknown_one_is_named(tmp_path: Path) -> None:
    folder = prepared.classification(tmp_path).classification
    with pytest.raises(
        StepError, match=r"(?s)index\.csv: expected the labels normal, pneumonia.*Correct.*0{12}1001: heart_failure"
    ):
        load_labelled(folder, "train", ("normal", "pneumonia"))
    row = LabelledRow(image_id="0", patient_id="P0", label="normal", split="train", simulated=True)
    write_rows(folder / "index.csv", LabelledRow, [row])
    with pytest.raises(StepError, match=r"index\.csv: expected two labels, found 1: normal\. Correct the labels"):
        classes_of(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": ""}, r"index\.csv: expected a label for every image, found none for 0{12}1001\. Correct the labels"),
        ({"patient_id": "P000000000004"}, r"index\.csv: .* one side.*Split and prepare.*P0{11}4: train and validation"),
    ],
)
def test_a_missing_label_and_a_patient_on_two_sides_are_named(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    folder = prepared.classification(tmp_path).classification
    rows = read_rows(folder / "index.csv", LabelledRow)
    rows[1] = replace(rows[1], **change)  # type: ignore[arg-type]
    write_rows(folder / "index.csv", LabelledRow, rows)
    with pytest.raises(StepError, match=f"(?s){said}"):
        classes_of(folder)
    with pytest.raises(StepError, match=f"(?s){said}"):
        load_labelled(folder, "train", ("normal", "heart_failure"))


def test_the_digest_of_held_out_images_changes_with_them_and_their_labels_alone(tmp_path: Path) -> None:
    folder = prepared.classification(tmp_path).classification
    rows, images = read_rows(folder / "index.csv", LabelledRow), np.load(folder / "images.npy")
    sides = {side: next(i for i, row in enumerate(rows) if row.split == side) for side in ("train", "test")}
    before = held_out_digest(folder)
    images[sides["train"]] += 0.1
    np.save(folder / "images.npy", images)
    assert held_out_digest(folder) == before
    images[sides["test"]] += 0.1
    np.save(folder / "images.npy", images)
    assert (changed := held_out_digest(folder)) != before
    other = {"normal": "heart_failure", "heart_failure": "normal"}[rows[sides["test"]].label]
    rows[sides["test"]] = replace(rows[sides["test"]], label=other)
    write_rows(folder / "index.csv", LabelledRow, rows)
    assert held_out_digest(folder) != changed
