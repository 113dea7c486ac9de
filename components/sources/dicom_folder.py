"""A folder of DICOM files, sub-folders included; labels, where there are any, in `labels.csv` beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.handover import StepError
from components.params import Params
from components.sources.items import DicomFile, Unreadable
from components.sources.tables import read_table, require_files
from components.sources.walking import Entry, walk

LABELS = "labels.csv"


def items(place: str, settings: Params) -> Iterable[DicomFile | Unreadable]:
    """Every file below the folder, by path, and what cannot be opened, with its reason.

    Raises `StepError` for a missing folder or labels of missing files.
    """
    folder = Path(place)
    if not folder.is_dir():
        raise StepError(f"source dicom:{place}: expected a folder of DICOM files, found none there.")
    entries = [entry for entry in walk(folder) if entry.name != LABELS]
    labels = _labels(folder, {entry.name for entry in entries})
    return [_item(entry, labels.get(entry.name, "")) for entry in entries]


def _item(entry: Entry, label: str) -> DicomFile | Unreadable:
    if entry.reason:
        return Unreadable(entry.name, entry.path, entry.reason, label)
    return DicomFile(entry.name, entry.path, label)


def _labels(folder: Path, names: set[str]) -> dict[str, str]:
    """Label by name; a file that is named through a link to a folder has its label under the name it is met by."""
    path = folder / LABELS
    if not path.is_file():
        return {}
    rows = [(_met_as(row["file"], folder, names), row["label"]) for row in read_table(path, "file", "label")]
    require_files(path, (line for line, (name, _) in enumerate(rows, start=2) if name not in names))
    return dict(rows)


def _met_as(name: str, folder: Path, names: set[str]) -> str:
    target, root = (folder / name).resolve(), folder.resolve()
    return name if name in names or root not in target.parents else target.relative_to(root).as_posix()
