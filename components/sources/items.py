"""What a source of images hands over, one item an image, nothing read before it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.imaging.picture_files import PixelArray


@dataclass(frozen=True)
class DicomFile:
    """A file that says it is DICOM."""

    name: str  # below its source; ingest puts a key in its place where it may tell who was imaged
    path: Path
    label: str = ""
    simulated: bool = False


@dataclass(frozen=True)
class Picture:
    """An image that is not DICOM. `read` raises `UnreadableImage` naming it where it cannot be read."""

    name: str
    patient: str  # who was imaged, to be made a pseudonym; where nobody says, one image is one patient
    read: Callable[[], PixelArray]
    label: str = ""
    modality: str = "OT"
    simulated: bool = False
    path: Path | None = None  # of its file, where it has one for itself


@dataclass(frozen=True)
class Unreadable:
    """Something in a source that cannot be opened, or is not to be. `reason` says why."""

    name: str  # without what is not UTF-8
    path: Path
    reason: str
    label: str = ""
    simulated: bool = False


Item = DicomFile | Picture | Unreadable
