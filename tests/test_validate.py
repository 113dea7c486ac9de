from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components import validate
from components.handover import IndexRow, Layout, SplitRow, StepError, read_json, read_rows, write_rows
from tests import tables
from tests.settings import small

Change = Callable[[list[IndexRow], list[SplitRow]], None]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    tables.write_data(Layout(tmp_path))
    return Layout(tmp_path)


def change(layout: Layout, how: Change) -> dict[str, object]:
    index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
    how(index, splits)
    write_rows(layout.index, IndexRow, index)
    write_rows(layout.splits, SplitRow, splits)
    return validate.run(layout, small())


def test_good_data_passes_and_leaves_pages_without_paths_of_the_machine(layout: Layout) -> None:
    verdict = validate.run(layout, small())
    assert verdict["passed"] and verdict["critical_failures"] == [] and verdict["warnings"] == []
    assert read_json(layout.validation) == verdict and verdict["images"] == 18
    assert (layout.reports / "expectations" / "index.html").is_file()
    assert str(layout.root) not in layout.validation.read_text()


def _twin(index: list[IndexRow], splits: list[SplitRow]) -> None:
    index[1] = replace(index[1], sha256=index[0].sha256)


def _same_patient(index: list[IndexRow], splits: list[SplitRow]) -> None:
    splits[0] = replace(splits[0], patient_id=splits[6].patient_id)


def _name(index: list[IndexRow], splits: list[SplitRow]) -> None:
    index[3] = replace(index[3], patient_id="DOE^JANE")


def _constant(index: list[IndexRow], splits: list[SplitRow]) -> None:
    index[4] = replace(index[4], minimum=7.0, maximum=7.0)


def _own_uid(index: list[IndexRow], splits: list[SplitRow]) -> None:
    index[5] = replace(index[5], study="1.2.840.113619.2.1")


def _no_test(index: list[IndexRow], splits: list[SplitRow]) -> None:
    splits[:] = [replace(row, split="train") if row.task == "super_resolution" else row for row in splits]


def _one_label(index: list[IndexRow], splits: list[SplitRow]) -> None:
    splits[:] = [replace(row, label="normal") if row.label else row for row in splits]


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        (_twin, "content_is_unique"),
        (_same_patient, "patient_in_one_split"),
        (_name, "patient_is_pseudonym"),
        (_constant, "image_shows_something"),
        (_own_uid, "study_is_pseudonymous"),
        (_no_test, "super_resolution_test_has_images"),
        (_one_label, "two_labels"),
    ],
)
def test_what_must_not_be_stops_the_pipeline(layout: Layout, how: Change, failure: str) -> None:
    verdict = change(layout, how)
    assert verdict["passed"] is False and failure in verdict["critical_failures"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("field", "value", "warning"),
    [
        ("modality", "XC", "modality_is_known"),
        ("rows", 30000, "rows_in_range"),
        ("pixel_spacing_mm", "0.5\\90", "spacing_max_mm_in_range"),
        ("photometric", "HSV", "photometric_is_known"),
    ],
)
def test_what_is_odd_is_a_warning_that_names_the_image(layout: Layout, field: str, value: object, warning: str) -> None:
    def odd(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[2] = replace(index[2], **{field: value})

    verdict = change(layout, odd)
    assert verdict["passed"] is True and verdict["warnings"] == [warning]
    assert any("s2.dcm" in line for line in validate.lines(verdict))


def test_duplicates_are_no_damage_and_broken_files_are(layout: Layout) -> None:
    def add(index: list[IndexRow], splits: list[SplitRow], reason: str, count: int = 40) -> None:
        index.extend(replace(index[0], quarantined=True, reason=reason, file_name=f"{i}.dcm") for i in range(count))

    assert change(layout, lambda index, splits: add(index, splits, "duplicate of x: same pixels"))["warnings"] == []
    assert change(layout, lambda index, splits: add(index, splits, "truncated", 90))["warnings"] == ["few_quarantined"]


def test_a_critical_failure_ends_with_one_and_is_told_on_stderr(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (layout.root / "params.yaml").write_text((Path(__file__).parents[1] / "params.yaml").read_text())
    change(layout, _name)
    monkeypatch.chdir(layout.root)
    assert validate.main() == 1
    assert "patient_is_pseudonym" in capsys.readouterr().err
    assert read_json(layout.validation)["passed"] is False


def test_nothing_but_quarantined_files_is_refused(layout: Layout) -> None:
    def all_bad(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[:] = [replace(row, quarantined=True, reason="empty") for row in index]

    with pytest.raises(StepError, match="every one is quarantined"):
        change(layout, all_bad)
