"""The split: by patient, repeatable, and spread over modalities and labels."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from components import split
from components.handover import SPLITS, IndexRow, Layout, SplitRow, StepError, read_rows, write_rows
from tests.settings import PARAMS, small

SETTINGS = small()
DEFAULT = {"CT": 4, "MR": 3, "CR": 2, "NM": 1, "US": 6}  # patients, as in the default source
SEEDS = range(25)


def _row(image, patient, modality="CT", label="", task="super_resolution", **change):
    image_id = image if isinstance(image, str) else f"{image:016x}"
    row = IndexRow(
        image_id=image_id, source="drawn", patient_id=patient, study="1.2", series="1.3", modality=modality,
        body_part="", rows=128, columns=96, frames=1, bits_stored=12, photometric="MONOCHROME2", pixel_spacing_mm="",
        transfer_syntax="1.2.840.10008.1.2.1", sha256=image_id * 4, label=label, quarantined=False, reason="",
        task=task, simulated=task == "classification", minimum=0.0, maximum=1.0, file_name=f"{image_id}.dcm",
        path=f"images/{image_id}.dcm",
    )  # fmt: skip
    return replace(row, **change)


def _ids(random):
    return random.bytes(8).hex()


def _sharpening(patients, seed=0, images=1):
    """Index rows of so many patients a modality, with random ids."""
    random = np.random.default_rng(seed)
    return [
        _row(_ids(random), f"P-{modality}-{number}", modality)
        for modality, count in patients.items()
        for number in range(count)
        for _ in range(images)
    ]


def _labelled(seed=0, normal=12, failing=12):
    random, people = np.random.default_rng((seed, 1)), ["normal"] * normal + ["heart_failure"] * failing
    return [_row(_ids(random), f"S-{n}", "DX", label, "classification") for n, label in enumerate(people)]


def _split(tmp_path, rows, seed=20240, **change):
    layout = Layout(tmp_path)
    write_rows(layout.index, IndexRow, rows)
    settings = replace(SETTINGS, seed=seed, split=replace(SETTINGS.split, **change))
    return split.run(layout, settings)


def _sides(rows):
    """The sides of each patient."""
    sides = defaultdict(set)
    for row in rows:
        if row.split:
            sides[row.patient_id].add(row.split)
    return sides


def _random_table(seed):
    """Up to 40 patients with one to four images of one modality, and labelled ones of whom some are in both tasks."""
    random = np.random.default_rng(seed)
    modalities = random.choice(["CT", "MR", "CR", "US"], random.integers(3, 40))
    rows = [
        _row(_ids(random), f"P{number}", str(modality))
        for number, modality in enumerate([*modalities, "CT", "CT", "CT"])
        for _ in range(random.integers(1, 5))
    ]
    labelled = [
        _row(_ids(random), f"P{number * 7}", "DX", label, "classification")
        for label, numbers in (("normal", range(0, 40, 2)), ("heart_failure", range(1, 40, 2)))
        for number in numbers
        for _ in range(random.integers(1, 3))
    ]
    return rows + labelled


@pytest.mark.parametrize("seed", SEEDS)
def test_no_patient_is_on_two_sides_of_anything(tmp_path, seed):
    rows = _split(tmp_path, _random_table(seed), seed=seed)

    assert all(len(sides) == 1 for sides in _sides(rows).values())
    for task in ("super_resolution", "classification"):
        assert {row.split for row in rows if row.task == task} == set(SPLITS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_modality_of_two_patients_is_trained_on_and_tested(tmp_path, seed):
    rows = [row for row in _split(tmp_path, _random_table(seed), seed=seed) if row.task == "super_resolution"]

    patients = defaultdict(lambda: defaultdict(set))
    for row in rows:
        patients[row.modality][row.split].add(row.patient_id)
    for sides in patients.values():
        if sum(map(len, sides.values())) > 1:
            assert sides["train"] and sides["test"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_default_source_gives_six_test_images_of_five_patients_and_four_modalities(tmp_path, seed):
    rows = _split(tmp_path, _sharpening(DEFAULT, seed) + _labelled(), seed=seed)
    sharpening = [row for row in rows if row.task == "super_resolution"]

    test = [row for row in sharpening if row.split == "test"]
    validation = [row for row in sharpening if row.split == "validation"]
    assert len(test) >= 6
    assert len({row.patient_id for row in test}) >= 5
    assert {row.modality for row in test} >= {"CT", "MR", "CR", "US"}
    assert len({row.patient_id for row in validation}) >= 2 and len({row.modality for row in validation}) >= 2
    training = {row.modality for row in sharpening if row.split == "train"}
    assert training == set(DEFAULT) and {row.modality for row in validation} <= training


def test_the_same_seed_gives_the_same_split_whatever_the_order_of_rows_and_the_pseudonyms(tmp_path):
    rows = _random_table(3)
    renamed = [replace(row, patient_id=f"Q{hash(row.patient_id) % 10**12:012d}") for row in rows]
    shuffled = [renamed[n] for n in np.random.default_rng(0).permutation(len(rows))]

    first, second = _split(tmp_path / "a", rows), _split(tmp_path / "b", shuffled)

    assert [(r.image_id, r.split) for r in first] == [(r.image_id, r.split) for r in second]


def test_another_seed_gives_another_split(tmp_path):
    rows = _sharpening({"CT": 30}) + _labelled()

    assert _split(tmp_path, rows, seed=1) != _split(tmp_path, rows, seed=2)


def test_a_modality_of_one_patient_is_trained_on_unless_the_test_side_lacks_modalities(tmp_path):
    def side_of_nm(patients, folder):
        rows = _split(tmp_path / folder, _sharpening({**patients, "NM": 1}) + _labelled())
        return next(row.split for row in rows if row.modality == "NM")

    assert side_of_nm({"CT": 5, "MR": 5, "US": 5, "CR": 5}, "four") == "train"
    assert side_of_nm({"CT": 5, "MR": 5, "US": 5}, "three") == "test"


def test_shares_of_a_large_set_are_kept_in_every_modality(tmp_path):
    rows = _split(tmp_path, _sharpening({"CT": 100, "MR": 20}) + _labelled())

    for modality, count in (("CT", 100), ("MR", 20)):
        sides = [row.split for row in rows if row.modality == modality]
        assert sides.count("test") == pytest.approx(0.3 * count, abs=1)
        assert sides.count("validation") == pytest.approx(0.2 * count, abs=1)


def test_labels_are_balanced_on_every_side(tmp_path):
    rows = _split(tmp_path, _sharpening(DEFAULT) + _labelled(normal=60, failing=20))

    for side, normal, failing in (("train", 30, 10), ("validation", 12, 4), ("test", 18, 6)):
        labels = [row.label for row in rows if row.split == side and row.task == "classification"]
        assert (labels.count("normal"), labels.count("heart_failure")) == (normal, failing)


def test_a_patient_of_both_tasks_is_on_the_side_of_the_sharpeners(tmp_path):
    rows = _sharpening({"CT": 12}) + _labelled()
    both = [_row(f"b{n:015x}", f"P-CT-{n}", "DX", "normal", "classification") for n in range(12)]

    sides = _sides(_split(tmp_path, rows + both))

    assert all(len(sides[f"P-CT-{n}"]) == 1 for n in range(12))
    assert {side for n in range(12) for side in sides[f"P-CT-{n}"]} == set(SPLITS)


def _with_more_to_train_on(tmp_path, rows, extra):
    layout = Layout(tmp_path)
    write_rows(layout.index, IndexRow, [*rows, *(replace(row, source="more") for row in extra)])
    return split.run(layout, replace(SETTINGS, ingest=replace(SETTINGS.ingest, train_only=("more",))))


def test_sources_to_train_on_only_move_nobody_else(tmp_path):
    rows = _sharpening(DEFAULT) + _labelled()
    extra = [_row(f"e{n:015x}", "P-slices", "OT", simulated=n % 2 == 0) for n in range(40)]

    alone, together = _split(tmp_path / "a", rows), _with_more_to_train_on(tmp_path / "b", rows, extra)

    assert [row for row in together if row.patient_id != "P-slices"] == alone
    assert {row.split for row in together if row.patient_id == "P-slices"} == {"train"}


def test_more_images_of_a_patient_who_is_held_out_are_left_out(tmp_path):
    rows = _sharpening(DEFAULT) + _labelled()
    sides = _sides(_split(tmp_path / "a", rows))
    tested, trained = (next(p for p, side in sides.items() if side == {s} and p[0] == "P") for s in ("test", "train"))

    split_rows = _with_more_to_train_on(tmp_path / "b", rows, [_row("e" * 16, tested), _row("f" * 16, trained)])

    by_image = {row.image_id: row for row in split_rows}
    assert by_image["e" * 16].split == "" and "its patient is held out" in by_image["e" * 16].reason
    assert by_image["f" * 16].split == "train"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"modality": "SEG"}, "modality SEG"),
        ({"modality": ""}, "modality unknown"),
        ({"columns": 63}, "below split.min_side"),
        ({"simulated": True}, "simulated"),
        ({"minimum": 3.0, "maximum": 3.0}, "one value everywhere"),
        ({"quarantined": True, "reason": "truncated", "patient_id": ""}, "quarantined: truncated"),
        ({"task": "classification"}, "no label"),
        ({"task": "classification", "label": "normal", "minimum": 3.0, "maximum": 3.0}, "one value everywhere"),
        ({"task": "segmentation"}, "unknown"),
    ],
)
def test_what_is_left_out_is_there_with_its_reason(tmp_path, change, reason):
    odd = replace(_row("f" * 16, "P-odd"), **change)

    rows = _split(tmp_path, [*_sharpening(DEFAULT), *_labelled(), odd])

    (left_out,) = (row for row in rows if row.image_id == odd.image_id)
    assert left_out.split == "" and reason in left_out.reason


def test_every_row_of_the_index_comes_back_and_the_table_is_written(tmp_path):
    rows = _random_table(1)
    duplicate = replace(rows[0], quarantined=True, reason="duplicate of another encoding")

    split_rows = _split(tmp_path, [*rows, duplicate])

    assert sorted(row.image_id for row in split_rows) == sorted(row.image_id for row in [*rows, duplicate])
    assert read_rows(Layout(tmp_path).splits, SplitRow) == split_rows


def test_a_single_patient_cannot_be_split_and_it_is_said_what_is_needed(tmp_path):
    with pytest.raises(StepError, match=r"three patients.*found patients: CT 1"):
        _split(tmp_path, _sharpening({"CT": 1}, images=9) + _labelled())


def test_three_patients_are_enough(tmp_path):
    rows = _split(tmp_path, _sharpening({"CT": 3}) + _labelled(normal=3, failing=3))

    assert sorted(row.split for row in rows if row.modality == "CT") == sorted(SPLITS)


@pytest.mark.parametrize("normal", [0, 2])
def test_too_few_patients_of_a_label_are_refused(tmp_path, normal):
    with pytest.raises(StepError, match="at least two labels with three patients each"):
        _split(tmp_path, _sharpening(DEFAULT) + _labelled(normal=normal))


def test_no_usable_image_is_said_plainly(tmp_path):
    with pytest.raises(StepError, match="no usable image"):
        _split(tmp_path, _labelled())


def test_problems_of_the_index_are_named_all_at_once(tmp_path):
    rows = [*_sharpening(DEFAULT), _row("a" * 16, ""), _row("b" * 16, "P1"), _row("b" * 16, "P2")]

    with pytest.raises(StepError, match=r"(?s)a{16}.*no patient.*b{16} stands 2 times"):
        _split(tmp_path, rows)


def test_the_command_says_what_went_where(tmp_path, monkeypatch, capsys):
    rows = [*_sharpening(DEFAULT), *_labelled(), _row("f" * 16, "P-odd", "SEG")]
    write_rows(Layout(tmp_path).index, IndexRow, rows)
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    monkeypatch.chdir(tmp_path)

    assert split.main() == 0

    out = capsys.readouterr().out
    assert "super_resolution test: " in out and "heart_failure" in out and "left out: 1 × modality SEG" in out


def test_the_command_fails_without_a_traceback_where_there_is_no_index(tmp_path, monkeypatch, capsys):
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    monkeypatch.chdir(tmp_path)

    assert split.main() == 1
    assert "index.csv" in capsys.readouterr().err
