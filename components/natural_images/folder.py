"""Folders of natural pictures, and where each one's low-resolution twin lies in the layouts that test sets come in."""

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
PNG, PNG_COLOUR, PNG_PALETTE = b"\x89PNG\r\n\x1a\n", 25, b"\x03"  # signature; place and value of the colour type
HIGH, LOW = "_HR", "_LR"  # ends of the names where both lie in one folder, as in img_001_SRF_4_HR.png


class UnusablePicture(ValueError):
    """A file that holds no picture for this; the message says what was expected and what came."""


@dataclass(frozen=True)
class Picture:
    """`name` is its place in the folder, without suffix; `low` its twin, `None` where there is none."""

    name: str
    path: Path
    low: Path | None = None


def pictures(folder: Path) -> list[Picture]:
    """The PNG and JPEG files in `folder` and the folders in it, by name; `_LR` beside `_HR` is a twin.

    Raises `StepError` where there are none, or naming every file that is neither.
    """
    if not folder.is_dir():
        raise StepError(f"{folder}: expected a folder of PNG or JPEG pictures, found none.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    refuse([f"{path}: not PNG or JPEG" for path in files if path.suffix.lower() not in SUFFIXES])
    twins = {high: twin for high in files if (twin := _beside(high)) is not None}
    low = set(twins.values())
    originals = [path for path in files if path not in low]
    if not originals:
        raise StepError(f"{folder}: expected a folder of PNG or JPEG pictures, found an empty one.")
    return [Picture(_name(folder, path), path, twins.get(path)) for path in originals]


def paired(images: Path, low: Path | None, scale: int) -> list[Picture]:
    """The pictures in `images` with their twins: those in `low` if that is given, else those beside them, else none.

    A twin in `low` has the picture's name, with `x4` behind it (at scale 4), or `_LR` for `_HR`. Raises `StepError`
    naming every picture without a twin where others have one: a table is of one protocol.
    """
    found = pictures(images)
    if low is not None:
        there = {_name(low, path): path for one in pictures(low) for path in (one.path, one.low) if path}
        found = [Picture(one.name, one.path, _twin(one, there, scale)) for one in found]
    if low is not None or any(one.low for one in found):
        refuse([f"{one.path}: no low-resolution picture of that name" for one in found if one.low is None])
    return found


def refuse(problems: list[str]) -> None:
    """Raises one `StepError` with every problem, if there is one."""
    if problems:
        raise StepError(
            f"pictures: {len(problems)} of the files cannot be used. Correct them, or move them elsewhere.\n  "
            + "\n  ".join(problems)
        )


def read_picture(path: Path) -> Tensor:
    """The picture at `path`, uint8 `(1, H, W)` grey or `(3, H, W)` RGB. Raises `UnusablePicture`.

    A palette is looked up: decoded unchanged, its numbers would pass for grey values. Other pictures are decoded by
    `components.imaging.picture_files`, which needs Pillow and pydicom; where networks are trained neither need be.
    """
    try:
        content = read_file(str(path))
        header = content[: PNG_COLOUR + 1].numpy().tobytes()
        palette = header.startswith(PNG) and header[PNG_COLOUR:] == PNG_PALETTE
        picture: Tensor = decode_image(content, ImageReadMode.RGB if palette else ImageReadMode.UNCHANGED)
    except RuntimeError as error:
        reason = re.sub(r"^.*\.cpp:\d+, ", "", str(error).splitlines()[0])  # where in the decoder helps nobody
        raise UnusablePicture(f"not a picture that can be read ({reason})") from error
    if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] not in (1, 3):
        found = f"{picture.shape[-3]} channels of {str(picture.dtype).removeprefix('torch.')}"
        raise UnusablePicture(f"expected 8 bits, grey or RGB, found {found}")
    return picture


def read_original(path: Path, scale: int) -> Tensor:
    """The picture at `path` with both sides a multiple of `scale`. Raises `UnusablePicture`, also where too small."""
    try:
        return cropped(read_picture(path), scale)
    except UnusablePicture:
        raise
    except ValueError as error:
        raise UnusablePicture(str(error)) from error


def read_pair(picture: Picture, scale: int) -> tuple[Tensor, Tensor]:
    """`low` `(C, h, w)` and `high` `(C, scale * h, scale * w)`, 8 bits; without a twin `low` is made here.

    Raises `UnusablePicture` where they do not fit each other.
    """
    high = read_original(picture.path, scale)
    if picture.low is None:
        return reduced(high, scale), high
    low = read_picture(picture.low)
    expected = (high.shape[0], high.shape[1] // scale, high.shape[2] // scale)
    if tuple(low.shape) != expected:
        found = f"{tuple(low.shape)}, channels first"
        raise UnusablePicture(f"expected {picture.low.name} smaller by {scale}, {expected}, found {found}")
    return low, high


def _hidden(path: Path) -> bool:
    """Left there by a file manager or an editor, such as .DS_Store or ._picture.jpg."""
    return any(part.startswith(".") for part in path.parts)


def _beside(high: Path) -> Path | None:
    """The `_LR` file beside an `_HR` one, if it is there."""
    if not high.stem.endswith(HIGH):
        return None
    low = high.with_name(high.stem.removesuffix(HIGH) + LOW + high.suffix)
    return low if low.is_file() else None


def _twin(picture: Picture, there: dict[str, Path], scale: int) -> Path | None:
    names = [picture.name, f"{picture.name}x{scale}"]
    if picture.name.endswith(HIGH):
        names.append(picture.name.removesuffix(HIGH) + LOW)
    return next((there[name] for name in names if name in there), None)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
