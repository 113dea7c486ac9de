import ast
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from components.handover import (
    IndexRow,
    LabelledRow,
    Layout,
    Replacing,
    RunRecord,
    StepError,
    check_patients,
    read_json,
    read_record,
    read_rows,
    write_json,
    write_record,
    write_rows,
)
from tests.tables import KEPT

PROJECT = Path(__file__).parents[2]
FILE_NAME = re.compile(r"[\w.-]+\.(csv|json|jsonl|npy|npz|safetensors|db|lock|yaml|html|pt)")

ROW = replace(
    KEPT,
    reason='odd, "quoted"\nand broken',
    simulated=True,
    minimum=-1024.0000001,
    maximum=None,
    rows=5,
    file_name="a,b.dcm",
)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, rows=None, quarantined=True, maximum=1e-300)]
    write_rows(tmp_path / "index.csv", IndexRow, rows)
    assert read_rows(tmp_path / "index.csv", IndexRow) == rows


def test_the_designs_columns_come_first_and_in_order() -> None:
    names = [field.name for field in fields(IndexRow)]
    assert ",".join(names[:18]) == (
        "image_id,source,patient_id,study,series,modality,body_part,rows,columns,frames,bits_stored,photometric,"
        "pixel_spacing_mm,transfer_syntax,sha256,label,quarantined,reason"
    )


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [("5,96", "five,96", r"line 2, rows: .*'five'"), ("false", "no", "quarantined"), ("image_id", "id", "image_id")],
)
def test_a_broken_table_is_named_with_line_and_column(tmp_path: Path, before: str, after: str, told: str) -> None:
    path = tmp_path / "index.csv"
    write_rows(path, IndexRow, [ROW])
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(StepError, match=told):
        read_rows(path, IndexRow)


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="Run the step that writes it"):
        read_rows(tmp_path / "index.csv", IndexRow)
    with pytest.raises(StepError, match="found none"):
        read_json(tmp_path / "x.json")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("whole")
    with pytest.raises(OSError, match="full"), Replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "whole" and len(list(tmp_path.iterdir())) == 1


def test_records_come_back_and_strange_ones_are_refused(tmp_path: Path) -> None:
    record = RunRecord(
        name="rrdb",
        run_id="run",
        model_id="m-1",
        weights_sha256="00",
        data_sha256="11",
        git_revision="abc",
        seconds=1.5,
    )
    write_record(tmp_path / "run.json", record)
    assert read_record(tmp_path / "run.json") == record
    write_json(tmp_path / "run.json", {"name": "rrdb"})
    with pytest.raises(StepError, match="Train the model again"):
        read_record(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StepError, match="expected JSON"):
        read_record(tmp_path / "run.json")


def test_numbers_that_are_none_are_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"auroc": float("nan")})


def test_everything_lies_below_the_root(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in (n for n in dir(Layout) if isinstance(getattr(Layout, n), property)):
        assert tmp_path in getattr(layout, name).parents
    assert layout.model("rrdb") == tmp_path / "data/models/rrdb"
    assert layout.model("rrdb") not in layout.checkpoints("rrdb").parents


def test_patients_on_two_sides_are_named_with_their_sides(tmp_path: Path) -> None:
    sides = [("P1", "train"), ("P1", "test"), ("P2", "train"), ("P2", "train"), ("P3", "test"), ("P3", "")]
    rows = [
        LabelledRow(image_id=str(n), patient_id=patient, label="normal", split=side, simulated=False)
        for n, (patient, side) in enumerate(sides)
    ]
    with pytest.raises(
        StepError, match=r"a\.csv: expected every patient on one side, found 1 on more\. Split again"
    ) as told:
        check_patients(tmp_path / "a.csv", rows, "Split again.")
    assert "P1: test and train" in str(told.value) and "P3" not in str(told.value)
    check_patients(tmp_path / "a.csv", rows[2:], "Split again.")


def test_the_name_of_a_file_is_written_in_one_place() -> None:
    assert twice(sorted((PROJECT / "components").rglob("*.py")) + sorted((PROJECT / "flows").rglob("*.py"))) == {}


def test_a_name_that_is_written_twice_would_be_seen(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text('PLACE = "table.csv"\n')
    assert twice(sorted(tmp_path.iterdir())) == {"table.csv": ["a.py", "b.py"]}


def twice(sources: list[Path]) -> dict[str, list[str]]:
    """The names of files that stand in more than one of `sources`, as a whole string, and in which."""
    found: dict[str, list[str]] = {}
    for source in sources:
        words = {node.value for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Constant)}
        for word in words:
            if isinstance(word, str) and FILE_NAME.fullmatch(word):
                found.setdefault(word, []).append(source.name)
    return {word: places for word, places in found.items() if len(places) > 1}
