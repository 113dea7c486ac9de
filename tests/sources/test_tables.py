from pathlib import Path

import pytest

from components.handover import StepError
from components.sources.tables import read_table


def test_cells_are_stripped_and_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\ufefffile,label\n a.png , normal\nb.png,\n", encoding="utf-8")
    rows = read_table(path, "file", "label")
    assert rows == [{"file": "a.png", "label": "normal"}, {"file": "b.png", "label": ""}]


def test_missing_columns_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name\nx\n")
    with pytest.raises(StepError, match="missing file, label"):
        read_table(tmp_path / "labels.csv", "file", "label")
    with pytest.raises(StepError, match=r"nowhere\.csv: expected a CSV"):
        read_table(tmp_path / "nowhere.csv", "file")
