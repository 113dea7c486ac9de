"""PNG, JPEG and TIFF: a folder with a sub-folder a class, or a CSV that names each file and its label."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from components.handover import StepError
from components.imaging.decoding import BROKEN, MAX_VALUES, UnreadableImage
from components.params import Params
from components.sources.items import Picture, PixelArray
from components.sources.tables import read_table

GREY_BITS = {"1": 1, "L": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}


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


def read_picture(path: Path, name: str) -> PixelArray:
    """Grey as it is stored, 1 to 32 bits; everything else as 8-bit RGB; the pages of a TIFF as frames."""
    try:
        with Image.open(path) as image:
            if image.width * image.height * getattr(image, "n_frames", 1) * 3 > MAX_VALUES:
                raise UnreadableImage(name, f"claims more than {MAX_VALUES} values")
            bits = GREY_BITS.get(image.mode)
            frames = [np.asarray(page if bits else page.convert("RGB")) for page in ImageSequence.Iterator(image)]
            return PixelArray(np.stack(frames).astype(np.float32), bits or 8)
    except (Image.DecompressionBombError, SyntaxError, *BROKEN) as error:
        raise UnreadableImage(name, f"not a picture that can be read: {' '.join(str(error).split())[:300]}") from error


def _of_folder(folder: Path, file: Path) -> Picture:
    relative = file.relative_to(folder)
    name = relative.as_posix()
    label = relative.parts[0] if len(relative.parts) > 1 else ""
    return Picture(name, name, partial(read_picture, file, name), label)


def _of_table(table: Path) -> list[Picture]:
    rows = read_table(table, "file", "label")
    missing = [row["file"] for row in rows if not (table.parent / row["file"]).is_file()]
    if missing:
        raise StepError(f"{table}: names {len(missing)} file(s) that are not there, such as {', '.join(missing[:5])}.")
    return [
        Picture(
            name=row["file"],
            patient=row.get("patient_id") or row["file"],
            read=partial(read_picture, table.parent / row["file"], row["file"]),
            label=row["label"],
            modality=row.get("modality") or "OT",
        )
        for row in rows
    ]
