"""A folder of DICOM files, sub-folders included; labels, where there are any, in `labels.csv` beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.handover import StepError
from components.params import Params
from components.sources.items import DicomFile
from components.sources.tables import read_table, require_files

LABELS = "labels.csv"


def items(place: str, settings: Params) -> Iterable[DicomFile]:
    """Every file below the folder, by path. Raises `StepError` for a missing folder or labels of missing files."""
    folder = Path(place)
    if not folder.is_dir():
        raise StepError(f"source dicom:{place}: expected a folder of DICOM files, found none there.")
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    labels = _labels(folder / LABELS, set(files))
    return [DicomFile(name, path, labels.get(name, "")) for name, path in files.items() if name != LABELS]


def _labels(path: Path, names: set[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = read_table(path, "file", "label")
    require_files(path, (line for line, row in enumerate(rows, start=2) if row["file"] not in names))
    return {row["file"]: row["label"] for row in rows}
