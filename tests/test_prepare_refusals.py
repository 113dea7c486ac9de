"""What is not prepared: every fault is named with its file and what to do."""

from dataclasses import replace

import numpy as np
import pytest

from components.handover import StepError, write_json
from tests.drawing import shapes
from tests.raw_folder import colour_image, quantised, raw

__all__ = ["raw"]  # fixtures


@pytest.mark.parametrize(
    "verdict",
    [{"passed": False, "critical_failures": ["unique_hashes"]}, {"passed": True, "critical_failures": ["x"]}, {}],
)
def test_data_that_failed_validation_are_refused_before_anything_is_written(raw, verdict):
    write_json(raw.layout.validation, verdict)

    with pytest.raises(StepError, match="critical failures"):
        raw.run()
    assert not raw.layout.prepared.exists()


def test_data_that_were_not_validated_are_refused(raw):
    raw.layout.validation.unlink()

    with pytest.raises(StepError, match=r"validation\.json"):
        raw.run()


def test_an_unreadable_image_is_named(raw):
    (raw.layout.raw / raw.index[0].path).write_bytes(b"broken")

    with pytest.raises(StepError, match=raw.index[0].image_id):
        raw.run()


def test_a_missing_image_is_named(raw):
    (raw.layout.raw / raw.index[0].path).unlink()

    with pytest.raises(StepError, match=raw.index[0].image_id):
        raw.run()


@pytest.mark.parametrize(("task", "label"), [("super_resolution", ""), ("classification", "normal")])
def test_a_constant_image_is_named(raw, task, label):
    image = raw.add(np.full((64, 64), 7, np.uint16), "train", task, label)

    with pytest.raises(StepError, match=f"(?s){image}.*every one of its pixels"):
        raw.run()


def test_missing_labels_and_single_classes_are_named_all_at_once(raw):
    raw.index = [replace(row, label="normal") if row.label else row for row in raw.index]
    bare = raw.add(quantised(shapes(50, 50)), "train", "classification")

    with pytest.raises(StepError, match=rf"(?s){bare}.*no label.*train: expected two labels.*found normal"):
        raw.run()


def test_colour_for_a_grey_classifier_is_refused_every_file_with_the_remedy(raw):
    names = [raw.add(colour_image(), "train", "classification", "normal", "US") for _ in range(2)]

    with pytest.raises(StepError, match=rf"(?s)input_channels to 3.*{names[0]}\.dcm.*{names[1]}\.dcm"):
        raw.run()


@pytest.mark.parametrize("number", [0, 1])
def test_a_patient_on_two_sides_is_refused_in_both_tasks(raw, number):
    raw.splits[number + 3] = replace(raw.splits[number + 3], patient_id=raw.splits[number].patient_id)

    with pytest.raises(
        StepError,
        match=rf"(?s)splits\.csv: expected every patient on one.*Split again.*P0{{11}}{number}: train and validation",
    ):
        raw.run()
    assert not raw.layout.prepared.exists()


@pytest.mark.parametrize("fault", ["label", "class", "patient", "black", "colour"])
def test_every_bad_input_is_refused_with_a_file_and_a_remedy(raw, fault):
    if fault == "label":
        raw.index[1] = replace(raw.index[1], label="")
    elif fault == "class":
        raw.index = [replace(row, label="normal") if row.label else row for row in raw.index]
    elif fault == "patient":
        raw.splits[3] = replace(raw.splits[3], patient_id=raw.splits[0].patient_id)
    else:
        stored = np.zeros((50, 50), np.uint16) if fault == "black" else colour_image()
        raw.add(stored, "train", "classification", "normal", "US")

    with pytest.raises(StepError, match=r"(?s)\.(csv|dcm)") as refused:
        raw.run()
    remedies = {
        "patient": "Split again",
        "black": "Remove those that show nothing",
        "colour": "Convert those of colour",
    }
    assert remedies.get(fault, "Correct them in the source") in str(refused.value)


def test_an_empty_side_is_named(raw):
    raw.splits = [replace(row, split="train") if row.task == "super_resolution" else row for row in raw.splits]

    with pytest.raises(StepError, match="none is left to test, validation"):
        raw.run()


def test_a_split_of_other_data_is_refused(raw):
    raw.splits.append(replace(raw.splits[0], image_id="f" * 16))

    with pytest.raises(StepError, match=r"f{16}.*Split again"):
        raw.run()
