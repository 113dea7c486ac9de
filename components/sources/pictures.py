"""PNG, JPEG and TIFF: a folder with a sub-folder a class, or a CSV that names each file and its label."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from components.handover import StepError
from components.imaging.picture_files import read_pixels
from components.params import Params
from components.sources.items import Picture
from components.sources.tables import read_table, require_files


def items(place: str, settings: Params) -> Iterable[Picture]:
    """Every file of the folder, by path, or of the CSV (`file,label` and, if known, `patient_id,modality`), in order.

    Raises `StepError` where there is neither, or the CSV names files that are not there.
    """
    path = Path(place)
    if path.is_dir():
        return [_of_folder(path, file) for file in sorted(path.rglob("*")) if file.is_file()]
    if path.suffix.lower() == ".csv" and path.is_file():
        return _of_table(path)
    raise StepError(f"source pictures:{place}: expected a folder of pictures or a .csv that lists them, found neither.")


def _of_folder(folder: Path, file: Path) -> Picture:
    relative = file.relative_to(folder)
    name = relative.as_posix()
    label = relative.parts[0] if len(relative.parts) > 1 else ""
    return Picture(name, name, partial(read_pixels, file, name), label, path=file)


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
