"""Test images, drawn by code: nothing real, any size, any modality."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

STORAGE = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
}


def shapes(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    """A bright body with structure on a dark ground, (rows, columns) in [0, 1]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    y, x = y / rows - 0.5, x / columns - 0.5
    image = 0.5 * (x**2 / 0.16 + y**2 / 0.2 < 1).astype(np.float32)
    for _ in range(12):
        cx, cy = random.uniform(-0.3, 0.3, 2)
        rx, ry = random.uniform(0.02, 0.15, 2)
        image += random.uniform(-0.2, 0.3) * (((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1)
    return np.clip(image + 0.02 * np.sin(40 * x) * np.cos(55 * y), 0, 1).astype(np.float32)


_MADE: Counter[str] = Counter()


def uid() -> str:
    """The next UID of the running test: the same in every run, so that no test depends on the digits of chance."""
    running = os.environ.get("PYTEST_CURRENT_TEST", "")
    _MADE[running] += 1
    return generate_uid(entropy_srcs=[running, str(_MADE[running])])


def dicom(stored: NDArray[Any], modality: str = "CT", **attributes: Any) -> FileDataset:
    """A valid single- or multi-frame image of `stored`: (rows, columns), (frames, rows, columns) or (rows, columns, 3).

    `attributes` replace or add DICOM keywords; the patient is Jane Doe unless they say otherwise.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = STORAGE[modality]
    meta.MediaStorageSOPInstanceUID = uid()
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = uid(), uid()
    image.Modality, image.PatientName, image.PatientID = modality, "Doe^Jane", "MRN-0012345"
    image.PatientBirthDate, image.PatientSex, image.StudyDate, image.StudyTime = "19560708", "F", "20240203", "101112"
    image.AccessionNumber, image.ReferringPhysicianName, image.StudyID = "ACC778899", "House^Gregory", "77"
    image.SeriesNumber, image.InstanceNumber, image.Manufacturer = 1, 1, "Drawn"
    colour = stored.ndim == 3 and stored.shape[-1] == 3
    image.SamplesPerPixel, image.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        image.PlanarConfiguration = 0
    if stored.ndim == 3 and not colour:
        image.NumberOfFrames = stored.shape[0]
    image.Rows, image.Columns = stored.shape[:2] if colour else stored.shape[-2:]
    image.BitsAllocated = image.BitsStored = stored.dtype.itemsize * 8
    image.HighBit, image.PixelRepresentation = image.BitsStored - 1, int(stored.dtype.kind == "i")
    if modality in ("CT", "MR"):
        image.PixelSpacing, image.SliceThickness = [0.5, 0.5], 5
        image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-64.0, -64.0, 12.5]
        image.FrameOfReferenceUID = uid()
    if modality == "CT":
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.PixelData = stored.tobytes()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


def write_dicom(path: Path, image: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def write_big_endian(path: Path, image: FileDataset) -> Path:
    """As Explicit VR Big Endian: `image` with what lies in words (VR OW) in that order already."""
    swapped = Dataset()
    swapped.update(image)
    swapped.file_meta = image.file_meta
    swapped.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    swapped.save_as(path, implicit_vr=False, little_endian=False, enforce_file_format=True)
    return path
