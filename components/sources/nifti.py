"""NIfTI volumes (`.nii`, `.nii.gz`): the slices of a volume are the frames of an image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from components.handover import StepError
from components.imaging.decoding import BROKEN, MAX_VALUES, UnreadableImage
from components.imaging.picture_files import PixelArray
from components.params import Params
from components.sources.items import Picture, Unreadable
from components.sources.walking import Entry, walk

SUFFIXES = (".nii", ".nii.gz")
MODALITIES = {"CT": ("ct",), "PT": ("pet",), "MR": ("T1w", "T2w", "T2star", "FLAIR", "PDw", "bold", "dwi", "epi")}


def items(place: str, settings: Params) -> Iterable[Picture | Unreadable]:
    """The file, or every NIfTI file below the folder, by path, and what cannot be opened, with its reason.

    Raises `StepError` where there is none.
    """
    path = Path(place)
    entries = [Entry(path.name, path)] if path.is_file() else walk(path) if path.is_dir() else []
    wanted = [entry for entry in entries if entry.name.endswith(SUFFIXES) or entry.is_folder]
    if not wanted:
        raise StepError(f"source nifti:{place}: expected .nii or .nii.gz files, found none there.")
    return [_item(entry) for entry in wanted]


def read_volume(path: Path, name: str) -> PixelArray:
    """Slices from the feet up, seen as radiologists do: front at the top, the patient's right on the left."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        volume = nibabel.as_closest_canonical(nibabel.load(path))
        if len(volume.shape) not in (3, 4) or np.prod(volume.shape, dtype=np.int64) > MAX_VALUES:
            raise UnreadableImage(name, f"expected a volume of at most {MAX_VALUES} values, found {volume.shape}")
        values = np.asarray(volume.dataobj, dtype=np.float32)[::-1, ::-1]
        width, height = (float(size) for size in volume.header.get_zooms()[:2])
        bits = volume.get_data_dtype().itemsize * 8
    except (ImageFileError, *BROKEN) as error:
        raise UnreadableImage(name, f"not NIfTI that can be read: {' '.join(str(error).split())[:300]}") from error
    columns, rows, slices = values.shape[:3]
    frames = values.reshape(columns, rows, slices, -1).transpose(3, 2, 1, 0).reshape(-1, rows, columns)
    return PixelArray(np.ascontiguousarray(frames), bits, f"{height:g}\\{width:g}")


def _item(entry: Entry) -> Picture | Unreadable:
    if entry.reason:
        return Unreadable(entry.name, entry.path, entry.reason)
    stem = entry.path.name.removesuffix(".gz").removesuffix(".nii")
    subject = re.search(r"sub-[A-Za-z0-9]+", entry.name)
    ending = stem.rpartition("_")[2]
    modality = next((one for one, endings in MODALITIES.items() if ending in endings), "OT")
    read = partial(read_volume, entry.path, entry.name)
    return Picture(entry.name, subject[0] if subject else stem, read, modality=modality, path=entry.path)
