"""Reads DICOM images as float32, in the units and the polarity that their values mean.

What is done to the stored values, in this order: decode (any syntax that pylibjpeg's plugins read), drop bits that are
not pixel bits, palette or YBR to RGB, modality LUT or rescale (PS3.3 C.11.1), padding to the lowest real value,
MONOCHROME1 mirrored. Windows are left in the header: they are for viewing, not for measuring.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

MAX_VALUES = 2**28  # 1 GiB of float32; a header that claims more is refused before anything is allocated
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
END_OF_JPEG = b"\xff\xd9"
NOT_IMAGES = {  # have pixel data, but no picture of a body
    "SEG": "a segmentation",
    "RTDOSE": "a radiotherapy dose grid",
    "PR": "a presentation state",
    "KO": "a key object selection",
    "SR": "a structured report",
    "REG": "a registration",
}
# what pydicom and its plugins raise on files that break the standard
BROKEN = (
    ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError, RuntimeError, EOFError, OSError,
    OverflowError, struct.error,
)  # fmt: skip


class UnreadableImage(Exception):
    """A file that holds no image this program can read. `name` is the file's, `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


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


def open_dicom(path: Path) -> Dataset:
    """The data set of a DICOM image, nothing decoded yet. Raises `UnreadableImage` where it is not an image."""
    if path.stat().st_size == 0:
        raise UnreadableImage(path.name, "empty file")
    try:
        dataset = _parse(path)
    except BROKEN as error:
        raise UnreadableImage(path.name, f"broken DICOM: {_one_line(error)}") from error
    if not len(dataset):
        raise UnreadableImage(path.name, "truncated: the file ends before its last element does")
    _check_is_image(dataset, path.name)
    _check_size(dataset, path.name)
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


def stored_frames(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """Each frame as stored: (rows, columns), or (rows, columns, 3) with YBR as RGB; bits above `BitsStored` dropped."""
    _check_codestreams(dataset)
    for frame in iter_pixels(dataset):
        yield _pixel_bits(frame, dataset)


def _parse(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except InvalidDicomError:
        dataset = dcmread(path, force=True)  # files from before Part 10 have no preamble
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


def _check_size(dataset: Dataset, name: str) -> None:
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel", 1))
    except BROKEN as error:
        raise UnreadableImage(name, f"no usable image size in the header: {_one_line(error)}") from error
    if min(rows, columns, frames) < 1:
        raise UnreadableImage(name, f"claims {frames} frames of {rows} x {columns} pixels")
    samples = 3 if dataset.PhotometricInterpretation == "PALETTE COLOR" else samples
    if rows * columns * frames * samples > MAX_VALUES:
        raise UnreadableImage(name, f"claims {frames} frames of {rows} x {columns}: more than {MAX_VALUES} values")


def _check_codestreams(dataset: Dataset) -> None:
    """Raises `ValueError` for a JPEG or JPEG-LS frame without its end marker: decoders make up what is missing."""
    if dataset.file_meta.TransferSyntaxUID not in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        return
    expected = int(dataset.get("NumberOfFrames") or 1)
    for number, stream in enumerate(generate_frames(dataset.PixelData, number_of_frames=expected), start=1):
        if END_OF_JPEG not in stream[-16:]:
            raise ValueError(f"frame {number} is truncated")


def _decoded(dataset: Dataset) -> NDArray[np.float32]:
    expected = int(dataset.get("NumberOfFrames") or 1)
    pixels, found = np.empty(0, np.float32), 0
    for number, frame in enumerate(stored_frames(dataset)):
        values = _values(frame, dataset, number)
        if number == 0:
            pixels = np.empty((expected, *values.shape), np.float32)
        pixels[number] = values
        found = number + 1
    if found != expected:
        raise ValueError(f"truncated: the header says {expected} frames, {found} are there")
    return pixels


def _pixel_bits(frame: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """`frame` without what lies above or below its pixel bits (overlays, in older files), sign extended.

    Only syntaxes that store the bits as they are have such leftovers.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if frame.dtype.kind == "f" or (syntax.is_compressed and syntax != RLELossless and not syntax.is_deflated):
        return frame
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    above = allocated - 1 - int(dataset.get("HighBit", stored - 1))
    if stored >= allocated or allocated != frame.dtype.itemsize * 8:
        return frame
    shifted: NDArray[Any] = np.right_shift(np.left_shift(frame, above), allocated - stored)
    return shifted


def _values(frame: NDArray[Any], dataset: Dataset, number: int) -> NDArray[np.float32]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(frame, _palette(dataset)).astype(np.float32)
    if frame.ndim == 3:
        return frame.astype(np.float32)
    values = _modality_values(frame, dataset, number).astype(np.float32)
    padding = padding_mask(frame, dataset)
    if padding.any() and not padding.all():
        real = values[~padding]
        values[padding] = real.max() if dataset.PhotometricInterpretation == "MONOCHROME1" else real.min()
    return values


def _palette(dataset: Dataset) -> Dataset:
    """`dataset`, or for big endian its colour table in this machine's byte order: pydicom reads it as if it were."""
    tables = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    little = dataset.file_meta.TransferSyntaxUID != ExplicitVRBigEndian
    if little or f"{tables[0]}Data" not in dataset or dataset[f"{tables[0]}Descriptor"].value[2] == 8:
        return dataset
    swapped = Dataset()
    for table in tables:
        setattr(swapped, f"{table}Descriptor", dataset[f"{table}Descriptor"].value)
        values = np.frombuffer(dataset[f"{table}Data"].value, ">u2").astype("=u2")
        setattr(swapped, f"{table}Data", values.tobytes())
    return swapped


def _modality_values(frame: NDArray[Any], dataset: Dataset, number: int) -> NDArray[Any]:
    if "ModalityLUTSequence" in dataset or "RescaleSlope" in dataset:
        return apply_modality_lut(frame, dataset)
    transformation = _functional_group(dataset, "PixelValueTransformationSequence", number)
    return frame if transformation is None else apply_modality_lut(frame, transformation)


def _functional_group(dataset: Dataset, keyword: str, number: int) -> Dataset | None:
    """An enhanced image's group for frame `number`: its own, else the one that all frames share, else None."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in (*own[number : number + 1], *shared[:1]):
        if group.get(keyword):
            return group[keyword].value[0]  # type: ignore[no-any-return]
    return None


def is_lossy(dataset: Dataset) -> bool:
    """Whether the values were ever compressed with loss, as far as the header tells."""
    return dataset.get("LossyImageCompression") == "01" or dataset.file_meta.TransferSyntaxUID in LOSSY


def padding_mask(frame: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    """Which stored pixels only fill up the rectangle (Pixel Padding Value, PS3.3 C.7.5.1.1.2), of `frame`'s shape."""
    first = dataset.get("PixelPaddingValue")
    if first is None or frame.ndim != 2:
        return np.zeros(frame.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit", first)
    low, high = sorted(_signed(int(value), dataset) for value in (first, last))
    return (frame >= low) & (frame <= high)


def _signed(value: int, dataset: Dataset) -> int:
    """Some writers put a signed padding value into an unsigned attribute."""
    allocated = int(dataset.BitsAllocated)
    return value - 2**allocated if dataset.PixelRepresentation and value >= 2 ** (allocated - 1) else value


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
