from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components import validate
from components.handover import IndexRow, Layout, SplitRow, StepError, read_json, read_rows, write_rows
from tests import tables
from tests.settings import PARAMS, small

Change = Callable[[list[IndexRow], list[SplitRow]], None]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    tables.write_data(Layout(tmp_path))
    return Layout(tmp_path)


def change(layout: Layout, how: Change) -> None:
    index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
    how(index, splits)
    write_rows(layout.index, IndexRow, index)
    write_rows(layout.splits, SplitRow, splits)


def changed(layout: Layout, how: Change) -> dict[str, Any]:
    change(layout, how)
    return validate.run(layout, small())


def entry(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    return next(expectation for expectation in verdict["expectations"] if expectation["name"] == name)


def test_good_data_passes_and_leaves_pages_without_paths_of_the_machine(layout: Layout) -> None:
    verdict = validate.run(layout, small())
    assert verdict["passed"] and verdict["critical_failures"] == [] and verdict["warnings"] == []
    assert read_json(layout.validation) == verdict and (verdict["images"], verdict["quarantined"]) == (18, 0)
    assert (layout.reports / "expectations" / "index.html").is_file()
    assert str(layout.root) not in layout.validation.read_text()


def test_every_fault_of_an_image_stops_the_pipeline_and_names_the_image(layout: Layout) -> None:
    def spoil(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[1] = replace(index[1], sha256=index[0].sha256)
        index[2] = replace(index[2], patient_id="")
        index[3] = replace(index[3], image_id="x")
        index[5] = replace(index[5], minimum=None)

    verdict = changed(layout, spoil)
    expected = {
        "content_is_unique": ["s0.dcm", "s1.dcm"],
        "has_patient": ["s2.dcm"],
        "has_identifier": ["s3.dcm"],
        "value_range_is_known": ["s5.dcm"],
    }
    assert verdict["passed"] is False and set(verdict["critical_failures"]) == set(expected)
    for name, files in expected.items():
        named = entry(verdict, name)["unexpected"]
        assert len(named) == len(files) and all(f"({f})" in line for f, line in zip(files, named, strict=True))


def test_an_image_that_shows_nothing_is_named_and_stops_nothing(layout: Layout) -> None:
    def spoil(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[4] = replace(index[4], minimum=7.0, maximum=7.0)

    verdict = changed(layout, spoil)
    assert verdict["passed"] and verdict["warnings"] == ["image_shows_something"]
    assert "(s4.dcm)" in entry(verdict, "image_shows_something")["unexpected"][0]


def test_identity_that_is_left_is_found_in_quarantined_files_too_and_not_repeated(layout: Layout) -> None:
    def spoil(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[3] = replace(index[3], patient_id="Featherstone")
        index[5] = replace(index[5], study="1.2.840.113619.2.1", series="1.2.840.113619.2.2")
        index.append(
            replace(index[0], quarantined=True, reason="truncated", file_name="Doe^Jane.dcm", image_id="b" * 16)
        )

    verdict = changed(layout, spoil)
    expected = {"patient_is_pseudonym", "study_is_pseudonymous", "series_is_pseudonymous", "file_name_names_nobody"}
    assert set(verdict["critical_failures"]) == expected
    assert entry(verdict, "file_name_names_nobody")["unexpected"] == ["b" * 16]
    pages = "".join(page.read_text() for page in layout.reports.rglob("*") if page.suffix in (".html", ".json"))
    assert not any(left in pages for left in ("Featherstone", "1.2.840.113619", "Doe^Jane"))


def test_every_fault_of_the_split_stops_the_pipeline(layout: Layout) -> None:
    def spoil(index: list[IndexRow], splits: list[SplitRow]) -> None:
        splits[0] = replace(splits[0], patient_id=splits[4].patient_id)
        splits[:] = [replace(row, split="train") if (row.task, row.split) == ("super_resolution", "test") else row
                     for row in splits]  # fmt: skip
        splits[:] = [replace(row, label="normal") if row.label and row.split == "test" else row for row in splits]

    verdict = changed(layout, spoil)
    expected = {"patient_in_one_split", "super_resolution_test_has_images", "every_label_in_test"}
    assert set(verdict["critical_failures"]) == expected
    assert entry(verdict, "patient_in_one_split")["unexpected"] == ["P000000000004: 2"]


def test_a_task_without_any_image_is_a_verdict_not_a_crash(layout: Layout) -> None:
    def drop(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[:] = [row for row in index if row.task != "classification"]
        splits[:] = [row for row in splits if row.task != "classification"]

    failures = changed(layout, drop)["critical_failures"]
    assert "two_labels" in failures and "classification_train_has_images" in failures


def test_what_is_odd_is_a_warning_that_names_the_image(layout: Layout) -> None:
    def odd(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[1] = replace(index[1], modality="XC")
        index[2] = replace(index[2], rows=30000)
        index[3] = replace(index[3], pixel_spacing_mm="0.5\\90")
        index[4] = replace(index[4], photometric="HSV")
        index[5] = replace(index[5], pixel_spacing_mm="")

    verdict = changed(layout, odd)
    names = ["modality_is_known", "photometric_is_known", "rows_in_range", "spacing_max_mm_in_range"]
    assert verdict["passed"] is True and verdict["warnings"] == names
    assert [entry(verdict, name)["unexpected"][0].split("(")[1] for name in names] == [
        "s1.dcm): XC",
        "s4.dcm): HSV",
        "s2.dcm): 30000",
        "s3.dcm): 90.0",
    ]


@pytest.mark.parametrize(("reason", "warnings"), [("duplicate of x: same pixels", []), ("cut", ["few_quarantined"])])
def test_duplicates_are_no_damage_and_broken_files_are(layout: Layout, reason: str, warnings: list[str]) -> None:
    def add(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index.extend(replace(index[0], quarantined=True, reason=reason, file_name=f"{i}.dcm") for i in range(40))

    assert changed(layout, add)["warnings"] == warnings


def test_a_missing_column_is_a_critical_failure_with_a_verdict(layout: Layout) -> None:
    lines = layout.splits.read_text().replace("modality", "kind", 1)
    layout.splits.write_text(lines)
    verdict = validate.run(layout, small())
    assert verdict["critical_failures"] == ["splits_has_its_columns"] and not verdict["passed"]
    assert read_json(layout.validation) == verdict


def test_a_critical_failure_ends_with_one_and_says_what_to_do(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def same_content(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[1] = replace(index[1], sha256=index[0].sha256)

    change(layout, same_content)
    (layout.root / "params.yaml").write_text(PARAMS.read_text())
    monkeypatch.chdir(layout.root)
    assert validate.main() == 1
    message = capsys.readouterr().err
    assert "content_is_unique" in message and "s1.dcm" in message and "What to do: Look at the images" in message
    assert read_json(layout.validation)["passed"] is False


def test_missing_tables_and_unreadable_spacings_are_refused_by_name(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"index\.csv: expected a table"):
        validate.run(Layout(tmp_path / "nowhere"), small())
    with pytest.raises(StepError, match=r"s1\.dcm.*pixel_spacing_mm"):
        validate.images_table([replace(tables.KEPT, file_name="s1.dcm", pixel_spacing_mm="wide")], [])


def test_nothing_but_quarantined_files_is_refused(layout: Layout) -> None:
    def all_bad(index: list[IndexRow], splits: list[SplitRow]) -> None:
        index[:] = [replace(row, quarantined=True, reason="empty") for row in index]

    with pytest.raises(StepError, match="every one is quarantined"):
        changed(layout, all_bad)
