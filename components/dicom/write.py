"""An image made from another one, as DICOM wants it said: new identity, same patient and place, and how it came to be.

Follows PS3.3 C.7.6.1 (general image), C.7.6.16.2.6 (derivation image), C.12.1 (SOP common) and PS3.16 CID 7202, 7203.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset

from components.dicom.copying import copy_header
from components.dicom.provenance import ENHANCED, Model, explain, identify
from components.dicom.regrid import regrid
from components.handover import Replacing, StepError

LARGEST_SIDE = 2**16 - 1  # Rows and Columns have 16 bits
LARGEST_SIZE = 2**32 - 2  # and an element's length 32, of which all ones mean something else
SUPPORTED = ENHANCED | {
    uid.ComputedRadiographyImageStorage,
    uid.CTImageStorage,
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.MRImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    uid.NuclearMedicineImageStorage,
    uid.PositronEmissionTomographyImageStorage,
    uid.SecondaryCaptureImageStorage,
    uid.UltrasoundImageStorage,
    uid.UltrasoundMultiFrameImageStorage,
    uid.UID("1.2.840.10008.5.1.4.1.1.3"),  # ultrasound multi-frame and single-frame before 1993, still in archives
    uid.UID("1.2.840.10008.5.1.4.1.1.6"),
    uid.XRayAngiographicImageStorage,
    uid.XRayRadiofluoroscopicImageStorage,
}
LOSSY_METHODS = {
    uid.JPEGBaseline8Bit: "ISO_10918_1",
    uid.JPEGExtended12Bit: "ISO_10918_1",
    uid.JPEGLSNearLossless: "ISO_14495_1",
}
COLOURS = ("Red", "Green", "Blue")
PALETTE = (
    "PaletteColorLookupTableUID", "PixelPaddingValue", "PixelPaddingRangeLimit",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in COLOURS),
)  # fmt: skip


def obstacles(source: Dataset, scale: int) -> list[str]:
    """Every reason why no standard-conforming enlargement of `source` can be written; empty where one can."""
    found = [*_unreferable(source)]
    if source.get("SOPClassUID") not in SUPPORTED:
        name = uid.UID(source.get("SOPClassUID") or "").name or "none"
        found.append(f"expected an image of CR, CT, DX, MG, MR, NM, PT, RF, SC, US or XA, found the SOP class {name}")
    if "PixelData" not in source:
        found.append("expected whole-numbered Pixel Data, found none")
    if source.get("PhotometricInterpretation") != "PALETTE COLOR" and "RedPaletteColorLookupTableDescriptor" in source:
        found.append("expected values that can be interpolated, found indices of a supplemental palette")
    if source.get("BitsAllocated") not in (8, 16, 32):
        found.append(f"expected 8, 16 or 32 bits allocated, found {source.get('BitsAllocated')}")
    rows, columns = int(source.get("Rows") or 0) * scale, int(source.get("Columns") or 0) * scale
    if max(rows, columns) > LARGEST_SIDE:
        found.append(f"expected at most {LARGEST_SIDE} rows and columns after enlarging, found {rows} x {columns}")
    samples = 1 if _is_grey(source) else 3
    size = (
        rows * columns * samples * int(source.get("NumberOfFrames") or 1) * int(source.get("BitsAllocated") or 0) // 8
    )
    if size > LARGEST_SIZE:
        found.append(f"expected at most {LARGEST_SIZE} bytes of pixels after enlarging, found {size}")
    return found


def _unreferable(source: Dataset) -> Iterator[str]:
    instance = str(source.get("SOPInstanceUID", ""))
    if not re.fullmatch(r"[012](\.[0-9]+)+", instance) or len(instance) > 64:
        yield f"expected a valid SOP Instance UID to refer to, found {instance!r}"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not source.get(keyword):
            yield f"expected a {keyword}, found none"


def derive(
    source: Dataset,
    stored: NDArray[Any],
    scale: int,
    model_name: str,
    model_version: str,
    created_at: datetime | None = None,
) -> FileDataset:
    """The derived image of `source` with the pixels `stored`, to be written as Explicit VR Little Endian.

    `stored` holds stored values, not rescaled ones, `scale` times as many rows and columns as the source's, as
    ([frames,] rows, columns[, 3]); three samples are RGB. A `numpy.memmap` is streamed from its file when saved.
    The same source, pixels and model give the same UIDs. `created_at` knows its zone, and is now where it is not given.
    `source` stays as it is. Raises `StepError` with every obstacle.
    """
    found = [*obstacles(source, scale), *_misfits(source, stored, scale)]
    if found:
        raise StepError("; ".join(found) + ". Choose another image.")
    model = Model(model_name, model_version, scale)
    image = copy_header(source)
    regrid(image, scale)
    _describe_pixels(image, source, stored)
    identify(image, source, _digest(stored), model)
    explain(image, source, model, created_at or datetime.now(UTC))
    return image


def save(image: Dataset, destination: Path) -> None:
    """Writes a derived image, whole or not at all, and lets go of the file its pixels were streamed from."""
    try:
        with Replacing(destination) as temporary:
            image.save_as(temporary, enforce_file_format=True)
    finally:
        if image["PixelData"].is_buffered:
            image.PixelData.close()


def _misfits(source: Dataset, stored: NDArray[Any], scale: int) -> Iterator[str]:
    frames = int(source.get("NumberOfFrames") or 1)
    grey = (*(() if frames == 1 else (frames,)), source.Rows * scale, source.Columns * scale)
    if stored.shape != (grey if _is_grey(source) else (*grey, 3)):
        yield f"expected pixels of the shape {grey}, three samples each where in colour, found {stored.shape}"
    if stored.dtype.kind not in "iu" or stored.dtype.byteorder == ">":
        yield f"expected little-endian whole numbers, found {stored.dtype}"


def _is_grey(source: Dataset) -> bool:
    return str(source.get("PhotometricInterpretation")).startswith("MONOCHROME")


def _describe_pixels(image: Dataset, source: Dataset, stored: NDArray[Any]) -> None:
    if not _is_grey(source):
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    if source.PhotometricInterpretation == "PALETTE COLOR":
        image.BitsStored, image.PixelRepresentation = stored.dtype.itemsize * 8, 0
        for keyword in PALETTE:
            image.pop(keyword, None)
    image.BitsAllocated = stored.dtype.itemsize * 8
    image.HighBit = image.BitsStored - 1
    image.add_new("PixelData", "OB" if image.BitsAllocated == 8 else "OW", _pixel_data(stored))
    _carry_loss(image, source)


def _pixel_data(stored: NDArray[Any]) -> bytes | BufferedReader:
    """Bytes of even length; a mapped file of even length is left on its disk."""
    if _is_file(stored) and stored.nbytes % 2 == 0:
        return _opened(stored)
    data = np.ascontiguousarray(stored).tobytes()
    return data + b"\0" * (len(data) % 2)


def _digest(stored: NDArray[Any]) -> str:
    """SHA-256 of the bytes; those of a mapped file are read, not mapped into memory."""
    if not _is_file(stored):
        return hashlib.sha256(np.ascontiguousarray(stored).data).hexdigest()
    with _opened(stored) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_file(stored: NDArray[Any]) -> TypeGuard[np.memmap[Any, Any]]:
    return isinstance(stored, np.memmap) and stored.offset == 0 and bool(stored.filename)


def _opened(stored: np.memmap[Any, Any]) -> BufferedReader:
    stored.flush()
    return Path(str(stored.filename)).open("rb")


def _carry_loss(image: Dataset, source: Dataset) -> None:
    """What was once lost stays lost: "01" is carried on, and said where only the transfer syntax said it."""
    syntax = getattr(source, "file_meta", Dataset()).get("TransferSyntaxUID")
    if syntax in LOSSY_METHODS and image.get("LossyImageCompression") != "01":
        image.LossyImageCompression, image.LossyImageCompressionMethod = "01", LOSSY_METHODS[syntax]
        pixels = source.Rows * source.Columns * source.SamplesPerPixel * int(source.get("NumberOfFrames") or 1)
        image.LossyImageCompressionRatio = round(pixels * source.BitsAllocated / 8 / len(source.PixelData), 2)
