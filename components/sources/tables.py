"""Reads the small tables that users write beside their images."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from components.handover import StepError


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Rows of a CSV that has at least `columns`. Raises `StepError` naming what is missing."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StepError(f"{path}: expected a CSV in UTF-8: {error}") from error
    if missing:
        raise StepError(f"{path}: expected the columns {', '.join(columns)}; missing {', '.join(missing)}.")
    return rows


def require_files(table: Path, lines: Iterable[int]) -> None:
    """Raises `StepError` where `table` names files that are not there, in `lines`: their names may tell of a person."""
    missing = list(lines)
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise StepError(f"{table}: expected the files it names, missing {len(missing)} of them: see line {shown}.")
