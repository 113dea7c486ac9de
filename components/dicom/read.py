"""Reads DICOM images as float32, in the units and the polarity that their values mean.

What is done to the stored values, in this order: decode (any syntax that pylibjpeg's plugins read), drop bits that are
not pixel bits, palette or YBR to RGB, modality LUT or rescale (PS3.3 C.11.1), padding to the lowest real value,
MONOCHROME1 mirrored. Windows are left in the header: they are for viewing, not for measuring.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from components.dicom.attributes import COLOURS, check, named, require
from components.dicom.colour_transform import settle_colours
from components.dicom.fragments import settle_fragments
from components.dicom.frames import frame_values, padding_mask, stored_frames
from components.dicom.kinds import not_an_image
from components.dicom.overlays import refuse_overlays_in_pixels
from components.dicom.palette import colours
from components.dicom.precision import settle_precision
from components.dicom.rescale import check_rescale
from components.imaging.decoding import MAX_VALUES, REMEDY, FaultyFile, UnreadableImage, faults_of, library

__all__ = [
    "LONG",
    "DicomImage",
    "decode",
    "open_dicom",
    "padding_mask",
    "read_dicom",
    "read_image",
    "stored_frames",
]
LONG = 2**16  # bytes of an element that stays in the file where not all of it is wanted at once
LEAVE_OUT = "leave the file out"
ANEW = f"Copy it anew, or {LEAVE_OUT}"
PREFIX = b"DICM"  # the end of the preamble
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
TABLES = tuple(f"{colour}PaletteColorLookupTable" for colour in COLOURS)
PIXEL_MODULE = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated")
OF_WHOLE_NUMBERS = ("BitsStored", "PixelRepresentation")  # type 1 where there is Pixel Data (PS3.3 C.7.6.3)


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
    with faults_of(path.name), library("not an array as numpy stores it"):
        return np.load(path, allow_pickle=False).astype(np.float32, copy=False)  # type: ignore[no-any-return]


def open_dicom(path: Path, by_frame: bool = False) -> Dataset:
    """The data set of a DICOM image, with its header checked and nothing decoded yet.

    Each attribute that is read later has the kind of value that PS3.6 gives it. Pixel Data lies as the transfer syntax
    says, and Bits Stored is what compressed frames hold. Raises `UnreadableImage` where it is not an image.

    Opened `by_frame`, for `stored_frame`, it may hold more than `MAX_VALUES`, and leaves them in the file; Bits Stored
    is then as the header says.
    """
    with faults_of(path.name):
        with library("cannot be opened"):
            empty = path.stat().st_size == 0
        if empty:
            raise FaultyFile(f"empty file. {ANEW}")
        dataset = _parse(path, LONG if by_frame else None)
        if not len(dataset):
            raise FaultyFile(f"truncated: the file ends before its last element does. {ANEW}")
        check(dataset)
        _check_is_image(dataset)
        _check_size(dataset, math.inf if by_frame else MAX_VALUES)
        _check_bits(dataset)
        check_rescale(dataset)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            colours(np.zeros(1, np.uint8), dataset)  # raises where a table does not fit
        settle_fragments(dataset)
        if not by_frame:
            settle_precision(dataset)
            settle_colours(dataset)
        refuse_overlays_in_pixels(dataset)
    return dataset


def decode(dataset: Dataset, name: str) -> DicomImage:
    """The image in `dataset`, which `open_dicom` gave; `name` is for messages.

    Raises `UnreadableImage` where it cannot be decoded.
    """
    with faults_of(name):
        pixels = _decoded(dataset)
    if not np.isfinite(pixels).all():
        raise UnreadableImage(name, f"expected pixels that are numbers, or padding, found others. {REMEDY}")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        np.subtract(pixels.min() + pixels.max(), pixels, out=pixels)
    return DicomImage(pixels, dataset)


def _parse(path: Path, defer_size: int | None) -> Dataset:
    """The data set, with the transfer syntax that its file meta names; without file meta, the one it is read by."""
    with library("broken DICOM"):
        try:
            dataset: Dataset = dcmread(path, defer_size=defer_size)
            bare = False
        except InvalidDicomError:
            dataset = _without_preamble(path, defer_size)
            bare = not getattr(dataset, "file_meta", None)
    if bare:
        if "Rows" not in dataset or "Columns" not in dataset:
            raise FaultyFile(f"broken DICOM: neither a DICOM preamble nor an image header. {REMEDY}")
        implicit, little = dataset.original_encoding
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        )
    _check_syntax(dataset)
    return dataset


def _without_preamble(path: Path, defer_size: int | None) -> Dataset:
    """Files from before Part 10 have no preamble; others were cut, some before its last four bytes."""
    with path.open("rb") as file:
        prefix = file.read(len(PREFIX))
    if prefix == PREFIX:
        return dcmread(BytesIO(path.read_bytes()[len(PREFIX) :]), force=True)
    return dcmread(path, defer_size=defer_size, force=True)


def _check_syntax(dataset: Dataset) -> None:
    with library("its file meta information cannot be read"):
        list(dataset.file_meta)  # converts every element
        syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))
    if not syntax:
        raise FaultyFile(
            "expected a Transfer Syntax UID (0002,0010) in the file meta information, found none, so that nobody knows "
            f"how its pixels are encoded. {REMEDY}"
        )
    with library(f"the transfer syntax {syntax.name} cannot be decoded. Convert it, or leave the file out"):
        get_decoder(syntax)
        dataset.file_meta.TransferSyntaxUID = syntax  # under another value representation it is mere text


def _check_is_image(dataset: Dataset) -> None:
    kind = not_an_image(dataset)
    if kind:
        raise FaultyFile(f"not an image: {kind}")
    if not any(keyword in dataset for keyword in PIXELS):
        raise FaultyFile(f"expected Pixel Data (7FE0,0010), found no pixels. {ANEW}")
    require(dataset, *PIXEL_MODULE, *(OF_WHOLE_NUMBERS if "PixelData" in dataset else ()))
    photometric, samples = dataset.PhotometricInterpretation.upper(), dataset.SamplesPerPixel
    if photometric not in GREY + COLOUR:
        listed = ", ".join(GREY + COLOUR)
        raise FaultyFile(f"{named(0x00280004)}: expected one of {listed}, found another. Convert it, or {LEAVE_OUT}")
    dataset.PhotometricInterpretation = photometric
    if photometric == "PALETTE COLOR":
        require(dataset, *(keyword for table in TABLES for keyword in _parts_of(table, dataset)))
    fitting = 1 if photometric in (*GREY, "PALETTE COLOR") else 3
    if samples != fitting:
        raise FaultyFile(f"{named(0x00280002)}: expected {fitting} for {photometric}, found {samples}. {REMEDY}")
    _check_planes(dataset)


def _check_planes(dataset: Dataset) -> None:
    """Compressed frames know how their colours lie; of native ones only the header tells (PS3.3 C.7.6.3.1.3)."""
    if dataset.SamplesPerPixel > 1 and dataset.get("PlanarConfiguration") is None:
        if not UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
            require(dataset, "PlanarConfiguration")
        dataset.PlanarConfiguration = 0


def _parts_of(table: str, dataset: Dataset) -> tuple[str, str]:
    """What a palette's table has to have: its data may be in segments (PS3.3 C.7.9.2)."""
    segments = f"Segmented{table}Data"
    return f"{table}Descriptor", segments if segments in dataset else f"{table}Data"


def _check_size(dataset: Dataset, most: float) -> None:
    rows, columns, frames = dataset.Rows, dataset.Columns, int(dataset.get("NumberOfFrames") or 1)
    if min(rows, columns, frames) < 1:
        raise FaultyFile(
            "expected Rows (0028,0010), Columns (0028,0011) and Number of Frames (0028,0008) of 1 or more, found "
            f"{rows}, {columns} and {frames}. {REMEDY}"
        )
    samples = 3 if dataset.PhotometricInterpretation == "PALETTE COLOR" else dataset.SamplesPerPixel
    if rows * columns * frames * samples > most:
        raise FaultyFile(f"claims {frames} frames of {rows} x {columns}: more than {most} values. {REMEDY}")


def _check_bits(dataset: Dataset) -> None:
    """Raises `FaultyFile` where the bits stored do not lie in the bits allocated (PS3.5 8.1.1)."""
    if "PixelData" not in dataset:
        return
    allocated, stored = dataset.BitsAllocated, dataset.BitsStored
    high = stored - 1 if dataset.get("HighBit") is None else dataset.HighBit
    compressed = UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated  # its frames know where their bits are
    if not 1 <= stored <= allocated or not (compressed or stored - 1 <= high < allocated):
        raise FaultyFile(
            f"expected Bits Stored (0028,0101) and High Bit (0028,0102) inside the {allocated} bits allocated, found "
            f"{stored} and {high}. {REMEDY}"
        )
    if dataset.PixelRepresentation not in (0, 1):
        raise FaultyFile(f"{named(0x00280103)}: expected 0 or 1, found {dataset.PixelRepresentation}. {REMEDY}")


def _decoded(dataset: Dataset) -> NDArray[np.float32]:
    expected = int(dataset.get("NumberOfFrames") or 1)
    pixels, found = np.empty(0, np.float32), 0
    for number, frame in enumerate(stored_frames(dataset)):
        values = frame_values(frame, dataset, number)
        if number == 0:
            pixels = np.empty((expected, *values.shape), np.float32)
        if number < expected:
            pixels[number] = values
        found = number + 1
    if found != expected:
        kind = "truncated" if found < expected else "Number of Frames (0028,0008) is wrong"
        raise FaultyFile(f"{kind}: the header says {expected} frames, {found} are there. {REMEDY}")
    return pixels
