"""A `.npz` in MedMNIST's format: `train_images`, `train_labels` and so on for `val` and `test`.

It knows no patients, so one image is one patient; its own division into three is not used.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from components.imaging.picture_files import PixelArray
from components.params import Params
from components.sources.items import Picture

PARTS = ("train", "val", "test")


def items(place: str, settings: Params) -> Iterable[Picture]:
    """Every image of the file. Raises `StepError` where it is not in MedMNIST's format."""
    return read_npz(Path(place), f"npz:{place}")


def read_npz(path: Path, source: str) -> list[Picture]:
    """As `items`; `source` is for messages. Labels are class numbers, those of several classes joined by `+`."""
    if not path.is_file():
        raise StepError(f"source {source}: expected a .npz in MedMNIST's format at {path}, found no file.")
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise StepError(f"source {source}: expected a .npz in MedMNIST's format: {error}") from error
    missing = [f"{part}_{what}" for part in PARTS for what in ("images", "labels") if f"{part}_{what}" not in arrays]
    if missing:
        raise StepError(f"source {source}: expected MedMNIST's format; missing {', '.join(missing)} in {path}.")
    return [picture for part in PARTS for picture in _part(part, arrays, source)]


def _part(part: str, arrays: dict[str, NDArray[Any]], source: str) -> Iterable[Picture]:
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    if len(images) != len(labels):
        raise StepError(f"source {source}: {len(images)} {part}_images but {len(labels)} {part}_labels.")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = f"{part}_{number:06d}"
        yield Picture(name, f"{source} {name}", partial(_pixels, image, name), _label(label))


def _pixels(image: NDArray[Any], name: str) -> PixelArray:
    """(rows, columns), (rows, columns, 3) or (frames, rows, columns) to the project's shape."""
    if image.ndim not in (2, 3) or image.dtype.kind not in "uif":
        raise UnreadableImage(name, f"expected an image or a volume of numbers, found {image.dtype} {image.shape}")
    single = image.ndim == 2 or image.shape[-1] == 3
    pixels = image.astype(np.float32)
    return PixelArray(pixels[None] if single else pixels, image.dtype.itemsize * 8)


def _label(label: NDArray[Any]) -> str:
    """The class of a single-class set; of a set with a yes or no for each class, the classes that are yes."""
    values = np.atleast_1d(label)
    if len(values) == 1:
        return str(int(values[0]))
    return "+".join(str(place) for place in np.flatnonzero(values)) or "none"
