"""PNG, JPEG and TIFF: a folder with a sub-folder a class, or a CSV that names each file and its label."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from components.handover import StepError
from components.imaging.picture_files import read_pixels
from components.params import Params
from components.sources.items import Picture, Unreadable
from components.sources.tables import read_table, require_files
from components.sources.walking import Entry, walk


def items(place: str, settings: Params) -> Iterable[Picture | Unreadable]:
    """Every file of the folder, by path, or of the CSV (`file,label` and, if known, `patient_id,modality`), in order.

    Raises `StepError` where there is neither, or the CSV names files that are not there.
    """
    path = Path(place)
    if path.is_dir():
        return [_of_folder(entry) for entry in walk(path)]
    if path.suffix.lower() == ".csv" and path.is_file():
        return _of_table(path)
    raise StepError(f"source pictures:{place}: expected a folder of pictures or a .csv that lists them, found neither.")


def _of_folder(entry: Entry) -> Picture | Unreadable:
    label, _, below = entry.name.partition("/")
    if entry.reason:
        return Unreadable(entry.name, entry.path, entry.reason, label if below else "")
    read = partial(read_pixels, entry.path, entry.name)
    return Picture(entry.name, entry.name, read, label if below else "", path=entry.path)


def _of_table(table: Path) -> list[Picture]:
    rows = read_table(table, "file", "label")
    require_files(table, (line for line, row in enumerate(rows, start=2) if not (table.parent / row["file"]).is_file()))
    return [
        Picture(
            name=row["file"],
            patient=row.get("patient_id") or row["file"],
            read=partial(read_pixels, table.parent / row["file"], row["file"]),
            label=row["label"],
            modality=row.get("modality") or "OT",
            path=table.parent / row["file"],
        )
        for row in rows
    ]
