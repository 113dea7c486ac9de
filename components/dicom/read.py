"""Reads DICOM images as float32, in the units and the polarity that their values mean.

What is done to the stored values, in this order: decode (any syntax that pylibjpeg's plugins read), drop bits that are
not pixel bits, palette or YBR to RGB, modality LUT or rescale (PS3.3 C.11.1), padding to the lowest real value,
MONOCHROME1 mirrored. Windows are left in the header: they are for viewing, not for measuring.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from components.dicom.frames import frame_values, padding_mask, stored_frames
from components.imaging.decoding import BROKEN, MAX_VALUES, UnreadableImage

__all__ = [
    "DicomImage",
    "decode",
    "open_dicom",
    "padding_mask",
    "read_dicom",
    "read_image",
    "stored_frames",
]
LONG = 2**16  # bytes of an element that stays in the file where an image is read by frame
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
NOT_IMAGES = {  # have pixel data, but no picture of a body
    "SEG": "a segmentation",
    "RTDOSE": "a radiotherapy dose grid",
    "PR": "a presentation state",
    "KO": "a key object selection",
    "SR": "a structured report",
    "REG": "a registration",
}


@dataclass(frozen=True)
class DicomImage:
    """An image and the header it came with.

    `pixels` is float32, (frames, rows, columns), or (frames, rows, columns, 3) for colour (RGB). Grey values are
    modality values (HU for CT) and larger is brighter. A MONOCHROME1 image is mirrored within its own range:
    `low + high - pixels` are its modality values again. float32 holds 24 bits exactly; stored values of 25 to 32
    bits are rounded to that.
    """

    pixels: NDArray[np.float32]
    header: Dataset  # as read, pixel data still in it

    @property
    def low(self) -> float:
        return float(self.pixels.min())

    @property
    def high(self) -> float:
        return float(self.pixels.max())


def read_dicom(path: Path) -> DicomImage:
    """The image in a DICOM file. Raises `UnreadableImage` naming the file where there is none that can be decoded."""
    return decode(open_dicom(path), path.name)


def read_image(path: Path) -> NDArray[np.float32]:
    """Pixels of a file as ingest stores it: `.npy`, or else DICOM; shapes as in `DicomImage`."""
    if path.suffix != ".npy":
        return read_dicom(path).pixels
    try:
        return np.load(path, allow_pickle=False).astype(np.float32, copy=False)  # type: ignore[no-any-return]
    except BROKEN as error:
        raise UnreadableImage(path.name, f"not an array as numpy stores it ({error})") from error


def open_dicom(path: Path, by_frame: bool = False) -> Dataset:
    """The data set of a DICOM image, nothing decoded yet. Raises `UnreadableImage` where it is not an image.

    Opened `by_frame`, for `stored_frame`, it may hold more than `MAX_VALUES`, and leaves them in the file.
    """
    if path.stat().st_size == 0:
        raise UnreadableImage(path.name, "empty file")
    try:
        dataset = _parse(path, LONG if by_frame else None)
        if not len(dataset):
            raise UnreadableImage(path.name, "truncated: the file ends before its last element does")
        _check_is_image(dataset, path.name)
        _check_size(dataset, path.name, math.inf if by_frame else MAX_VALUES)
    except BROKEN as error:
        raise UnreadableImage(path.name, f"broken DICOM: {_one_line(error)}") from error
    return dataset


def decode(dataset: Dataset, name: str) -> DicomImage:
    """The image in `dataset`; `name` is for messages. Raises `UnreadableImage` where it cannot be decoded."""
    try:
        pixels = _decoded(dataset)
    except BROKEN as error:
        raise UnreadableImage(name, f"pixels cannot be decoded: {_one_line(error)}") from error
    if not np.isfinite(pixels).all():
        raise UnreadableImage(name, "has values that are not numbers")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        np.subtract(pixels.min() + pixels.max(), pixels, out=pixels)
    return DicomImage(pixels, dataset)


def _parse(path: Path, defer_size: int | None) -> Dataset:
    try:
        return dcmread(path, defer_size=defer_size)
    except InvalidDicomError:
        dataset = dcmread(path, defer_size=defer_size, force=True)  # files from before Part 10 have no preamble
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ValueError("neither a DICOM preamble nor an image header")
    implicit, little = dataset.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _check_is_image(dataset: Dataset, name: str) -> None:
    kind = NOT_IMAGES.get(str(dataset.get("Modality", "")))
    if kind:
        raise UnreadableImage(name, f"not an image: {kind}")
    if not any(keyword in dataset for keyword in PIXELS):
        raise UnreadableImage(name, f"no pixels in it (SOP class {dataset.get('SOPClassUID', 'unknown')})")
    photometric = dataset.get("PhotometricInterpretation", "none")
    if photometric not in GREY + COLOUR:
        raise UnreadableImage(name, f"photometric interpretation {photometric}: unsupported")
    samples = dataset.get("SamplesPerPixel", 1)
    if samples != (1 if photometric in (*GREY, "PALETTE COLOR") else 3):
        raise UnreadableImage(name, f"{samples} samples a pixel do not fit {photometric}")


def _check_size(dataset: Dataset, name: str, most: float) -> None:
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel", 1))
    except BROKEN as error:
        raise UnreadableImage(name, f"no usable image size in the header: {_one_line(error)}") from error
    if min(rows, columns, frames) < 1:
        raise UnreadableImage(name, f"claims {frames} frames of {rows} x {columns} pixels")
    samples = 3 if dataset.PhotometricInterpretation == "PALETTE COLOR" else samples
    if rows * columns * frames * samples > most:
        raise UnreadableImage(name, f"claims {frames} frames of {rows} x {columns}: more than {most} values")


def _decoded(dataset: Dataset) -> NDArray[np.float32]:
    expected = int(dataset.get("NumberOfFrames") or 1)
    pixels, found = np.empty(0, np.float32), 0
    for number, frame in enumerate(stored_frames(dataset)):
        values = frame_values(frame, dataset, number)
        if number == 0:
            pixels = np.empty((expected, *values.shape), np.float32)
        pixels[number] = values
        found = number + 1
    if found != expected:
        raise ValueError(f"truncated: the header says {expected} frames, {found} are there")
    return pixels


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
