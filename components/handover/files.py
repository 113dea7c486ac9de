"""Tables, JSON and records on disk. Writing is atomic; reading names file, line and column of what is malformed."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from components.handover.errors import StepError
from components.handover.rows import LabelledRow, RunRecord, SplitRow

Row = TypeVar("Row")


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> None:
    """Writes a CSV with one column a field of `row_type`; the file is whole or absent."""
    names = [f.name for f in fields(row_type)]  # type: ignore[arg-type]
    with Replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _to_text(getattr(row, name)) for name in names})


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """Rows of a CSV, typed. Raises `StepError` naming file, line and column of what is malformed."""
    hints = get_type_hints(row_type)
    if not path.is_file():
        raise StepError(f"{path}: expected a table of {row_type.__name__}, found no file. Run the step that writes it.")
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        missing = [name for name in hints if name not in (reader.fieldnames or ())]
        if missing:
            raise StepError(f"{path}: expected the columns of {row_type.__name__}; missing {', '.join(missing)}.")
        return [_row(path, number, raw, row_type, hints) for number, raw in enumerate(reader, start=2)]


def check_patients(path: Path, rows: Iterable[SplitRow | LabelledRow], remedy: str) -> None:
    """Raises `StepError` naming `path` and every patient whose images are on two sides of the split or more."""
    sides: dict[str, set[str]] = {}
    for row in rows:
        if row.split:
            sides.setdefault(row.patient_id, set()).add(row.split)
    problems = [f"{name}: {' and '.join(sorted(on))}" for name, on in sorted(sides.items()) if len(on) > 1]
    if problems:
        raise StepError(
            f"{path}: expected every patient on one side, found {len(problems)} on more. {remedy}\n  "
            + "\n  ".join(problems)
        )


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, sorted and indented, whole or not at all."""
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with Replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def columns_of(rows: Iterable[object], key: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The columns `names` of each row, by its value of `key`: the JSON that DVC reads metrics from."""
    columns = tuple(names)
    return {getattr(row, key): {name: getattr(row, name) for name in columns} for row in rows}


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StepError(f"{path}: expected a JSON file, found none. Run the step that writes it.") from error
    except json.JSONDecodeError as error:
        raise StepError(f"{path}: expected JSON, {error}. Remove the file and run the step again.") from error


def write_record(path: Path, record: RunRecord) -> None:
    write_json(path, asdict(record))


def read_record(path: Path) -> RunRecord:
    content = read_json(path)
    try:
        return RunRecord(**content)
    except TypeError as error:
        raise StepError(f"{path}: expected a training's record; {error}. Train the model again.") from error


class Replacing:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        os.close(handle)
        self._temporary = Path(name)
        return self._temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._temporary.unlink(missing_ok=True)
            return
        self._temporary.chmod(0o644)
        with self._temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        self._temporary.replace(self._path)


def _to_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _row(path: Path, number: int, raw: dict[str, str], row_type: type[Row], hints: dict[str, Any]) -> Row:
    values = {}
    for name, hint in hints.items():
        try:
            values[name] = _from_text(raw[name], hint)
        except (TypeError, ValueError) as error:
            raise StepError(f"{path} line {number}, {name}: expected {hint}, found {raw[name]!r}.") from error
    return row_type(**values)


def _from_text(text: str, hint: Any) -> Any:
    if hint is str:
        return text
    if hint is bool:
        return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse(text)
    if hint in (int, float):
        return hint(text)
    if text == "":
        return None
    return int(text) if hint == (int | None) else float(text)


def _refuse(text: str) -> None:
    raise ValueError(text)
