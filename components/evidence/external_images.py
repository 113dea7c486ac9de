"""Methods that are not ours: a folder of images that another program made of the held-out inputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from components.handover import PreparedRow, StepError
from components.imaging.decoding import UnreadableImage
from components.imaging.intensity import luma
from components.imaging.picture_files import read_pixels
from components.learning.datasets.pairs import Pair

SUFFIXES = (".npy", ".png", ".tif", ".tiff")
FULL = {1: 1.0, 8: 255.0, 16: 65535.0}  # what white is stored as; floating point is in [0, 1] as it comes
BEYOND_RANGE = 0.5  # by how much floating-point values may leave [0, 1]


class ExternalImages:
    """The images of `folder`, one for each held-out frame, named as its input was: `<image_id>-<frame>` and a suffix.

    Raises `StepError` naming every frame without an image and every file without a frame.
    """

    def __init__(self, folder: Path, rows: Iterable[PreparedRow]) -> None:
        sample_ids = {row.sample_id for row in rows}
        files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        path_of = {path.stem: path for path in files}
        duplicates = [path for path in files if path_of[path.stem] != path]
        problems = [f"{name}: missing" for name in sorted(sample_ids - set(path_of))]
        problems += [f"{path.name}: {path_of[path.stem].name} is there as well; keep one" for path in duplicates]
        problems += [f"{path.name}: of no held-out frame" for name, path in path_of.items() if name not in sample_ids]
        problems += [
            f"{path.name}: expected one of {', '.join(SUFFIXES)}"
            for name, path in path_of.items()
            if name in sample_ids and path.suffix.lower() not in SUFFIXES
        ]
        if problems:
            raise StepError(
                f"{folder}: expected one image for each held-out frame, as `medsr evaluate --write-inputs` names them; "
                f"{len(problems)} problem(s).\n  " + "\n  ".join(problems)
            )
        self._files = path_of

    def __call__(self, pair: Pair) -> Tensor:
        """What the program made of the input of `pair`, `(1, 1, H, W)`. Raises `StepError` naming the file."""
        path = self._files[pair.row.sample_id]
        image = _read(path)
        if image.shape != tuple(pair.high.shape[1:]):
            found, expected = (" x ".join(map(str, shape)) for shape in (image.shape, pair.high.shape[1:]))
            raise StepError(f"{path}: expected {expected} pixels, found {found}. Sharpen the input as it was written.")
        return torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]


def write_inputs(folder: Path, pairs: Iterable[Pair]) -> int:
    """Writes the low-resolution images of `pairs` as 16-bit PNG, [0, 1] clipped and scaled to 65535; gives how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for pair in pairs:
        stored = (pair.low[0].clamp(0, 1).numpy() * FULL[16]).round().astype(np.uint16)
        Image.fromarray(stored).save(folder / f"{pair.row.sample_id}.png")
        count += 1
    return count


def _read(path: Path) -> NDArray[np.float32]:
    """A grey image, (rows, columns), in [0, 1]; a colour image gives its luma."""
    if path.suffix.lower() == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise StepError(f"{path}: expected an array, {error}. Write it with numpy.save.") from error
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or not values.size:
            found = f"{values.shape} of {values.dtype}" if isinstance(values, np.ndarray) else "an archive of several"
            raise StepError(f"{path}: expected an array of numbers, found {found}. Write it with numpy.save.")
        return _in_range(path, values.astype(np.float32).squeeze())
    try:
        picture = read_pixels(path, path.name)
    except UnreadableImage as error:
        raise StepError(f"{path}: {error}. Write it again.") from error
    values = luma(picture.pixels)[0] if picture.pixels.ndim == 4 else picture.pixels[0]
    return _in_range(path, values / FULL.get(picture.bits, 1.0))


def _in_range(path: Path, values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    if values.ndim != 2 or not (low >= -BEYOND_RANGE and high <= 1 + BEYOND_RANGE):
        raise StepError(
            f"{path}: expected (rows, columns) in [0, 1], found {values.shape} from {low:g} to {high:g}. Divide by the "
            "largest value that the type can hold."
        )
    return values
