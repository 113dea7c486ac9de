"""Folders of natural pictures, and each picture's low-resolution twin in the layouts of public test sets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, read_file

from components.handover import StepError
from components.natural_images.protocol import cropped, reduced

SUFFIXES = (".png", ".jpg", ".jpeg")
PNG, PNG_COLOUR, PNG_PALETTE = b"\x89PNG\r\n\x1a\n", 25, b"\x03"  # signature; index and value of the colour type
HIGH, LOW = "_HR", "_LR"  # name endings where both are in one folder, as in img_001_SRF_4_HR.png


class UnusablePicture(ValueError):
    """A file without a usable picture; the message says what was expected and found."""


@dataclass(frozen=True)
class Picture:
    """`name` is its path in the folder without suffix; `low` its low-resolution twin, `None` where there is none."""

    name: str
    path: Path
    low: Path | None = None


def pictures(folder: Path) -> list[Picture]:
    """The PNG and JPEG files in `folder` and its subfolders, by name. An `_LR` file beside its `_HR` file is a twin.

    Raises `StepError` where there are none, or naming every file that is neither PNG nor JPEG.
    """
    if not folder.is_dir():
        raise StepError(f"{folder}: expected a folder of PNG or JPEG pictures, found none.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    refuse([f"{path}: not PNG or JPEG" for path in files if path.suffix.lower() not in SUFFIXES])
    twins = {high: twin for high in files if (twin := _twin_beside(high)) is not None}
    low = set(twins.values())
    originals = [path for path in files if path not in low]
    if not originals:
        raise StepError(f"{folder}: expected a folder of PNG or JPEG pictures, found an empty one.")
    return [Picture(_name(folder, path), path, twins.get(path)) for path in originals]


def paired(images: Path, low: Path | None, scale: int) -> list[Picture]:
    """The pictures in `images` with their twins: those in `low` if that is given, else those beside them, else none.

    A twin in `low` has the picture's name, with `x4` appended (at scale 4), or `_LR` for `_HR`. Raises `StepError`
    naming every picture without a twin where others have one: all rows of a table follow one protocol.
    """
    originals = pictures(images)
    if low is not None:
        low_paths = {_name(low, path): path for twin in pictures(low) for path in (twin.path, twin.low) if path}
        originals = [Picture(picture.name, picture.path, _twin(picture, low_paths, scale)) for picture in originals]
    if low is not None or any(picture.low for picture in originals):
        unpaired = [picture for picture in originals if picture.low is None]
        refuse([f"{picture.path}: no low-resolution picture of that name" for picture in unpaired])
    return originals


def refuse(problems: list[str]) -> None:
    """Raises one `StepError` that lists all `problems`, if there are any."""
    if problems:
        raise StepError(
            f"pictures: {len(problems)} of the files cannot be used. Correct them, or move them elsewhere.\n  "
            + "\n  ".join(problems)
        )


def read_picture(path: Path) -> Tensor:
    """The picture at `path`, uint8 `(1, H, W)` grey or `(3, H, W)` RGB. Raises `UnusablePicture`.

    Palette pictures become RGB: decoded unchanged, their indices would pass for grey values. All other packages use
    `components.imaging.picture_files`, which needs Pillow and pydicom; training runs without them.
    """
    try:
        content = read_file(str(path))
        header = content[: PNG_COLOUR + 1].numpy().tobytes()
        palette = header.startswith(PNG) and header[PNG_COLOUR:] == PNG_PALETTE
        picture: Tensor = decode_image(content, ImageReadMode.RGB if palette else ImageReadMode.UNCHANGED)
    except RuntimeError as error:
        reason = re.sub(r"^.*\.cpp:\d+, ", "", str(error).splitlines()[0])  # without the decoder's source line
        raise UnusablePicture(f"not a picture that can be read ({reason})") from error
    if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] not in (1, 3):
        dtype = str(picture.dtype).removeprefix("torch.")
        raise UnusablePicture(f"expected 8 bits, grey or RGB, found {picture.shape[-3]} channels of {dtype}")
    return picture


def read_original(path: Path, scale: int) -> Tensor:
    """The picture at `path` with both sides a multiple of `scale`. Raises `UnusablePicture`, also if too small."""
    try:
        return cropped(read_picture(path), scale)
    except UnusablePicture:
        raise
    except ValueError as error:
        raise UnusablePicture(str(error)) from error


def read_pair(picture: Picture, scale: int) -> tuple[Tensor, Tensor]:
    """`low` `(C, h, w)` and `high` `(C, scale * h, scale * w)`, 8 bits; without a twin `low` is `high` reduced.

    Raises `UnusablePicture` where their sizes do not match.
    """
    high = read_original(picture.path, scale)
    if picture.low is None:
        return reduced(high, scale), high
    low = read_picture(picture.low)
    expected = (high.shape[0], high.shape[1] // scale, high.shape[2] // scale)
    if tuple(low.shape) != expected:
        sizes = f"{expected}, found {tuple(low.shape)}, channels first"
        raise UnusablePicture(f"expected {picture.low.name} smaller by {scale}, {sizes}")
    return low, high


def _hidden(path: Path) -> bool:
    """Whether a file manager or an editor made the file, such as .DS_Store or ._picture.jpg."""
    return any(part.startswith(".") for part in path.parts)


def _twin_beside(high: Path) -> Path | None:
    """The `_LR` file beside an `_HR` file, if it exists."""
    if not high.stem.endswith(HIGH):
        return None
    low = high.with_name(high.stem.removesuffix(HIGH) + LOW + high.suffix)
    return low if low.is_file() else None


def _twin(picture: Picture, low_paths: dict[str, Path], scale: int) -> Path | None:
    names = [picture.name, f"{picture.name}x{scale}"]
    if picture.name.endswith(HIGH):
        names.append(picture.name.removesuffix(HIGH) + LOW)
    return next((low_paths[name] for name in names if name in low_paths), None)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
