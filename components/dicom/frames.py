"""The pixels inside a DICOM data set, frame by frame: as they are stored, and in the values they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from components.dicom.codestreams import check_frames
from components.dicom.palette import colours
from components.dicom.rescale import modality_values
from components.imaging.decoding import REMEDY, FaultyFile, library

FLOAT_PIXELS = {"FloatPixelData": "Float", "DoubleFloatPixelData": "DoubleFloat"}
SIGNLESS = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes)  # the highest bit stored is the sign (PS3.5 8.2.1, 8.2.3)
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)


def stored_frames(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """Each frame as stored: (rows, columns), or (rows, columns, 3) with YBR as RGB; bits above `BitsStored` dropped."""
    # `map` lets go of the frame as it came
    yield from map(partial(pixel_bits, dataset=dataset), decoded_frames(dataset))


def stored_frame(dataset: Dataset, number: int) -> NDArray[Any]:
    """Frame `number` (from 0) as `stored_frames` gives it, but for bits above `BitsStored`: `pixel_bits` drops them.

    It stays on its disk where it can, if `dataset` was opened to be read by frame. Raises `IndexError` where there is
    no such frame.
    """
    if not 0 <= number < int(dataset.get("NumberOfFrames") or 1):
        raise IndexError(number)
    mapped = _mapped_frame(dataset, number)
    return next(decoded_frames(dataset, [number])) if mapped is None else mapped


def frame_values(frame: NDArray[Any], dataset: Dataset, number: int) -> NDArray[np.float32]:
    """Frame `number` (from 0), as stored, in the values it stands for; padding and palettes are resolved."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return colours(frame, dataset).astype(np.float32)
    if frame.ndim == 3:
        return frame.astype(np.float32)
    values = modality_values(frame, dataset, number).astype(np.float32)
    padding = padding_mask(frame, dataset)
    if padding.any() and not padding.all():
        real = values[~padding]
        values[padding] = real.max() if dataset.PhotometricInterpretation == "MONOCHROME1" else real.min()
    return values


def is_lossy(dataset: Dataset) -> bool:
    """Whether the values were ever compressed with loss, as far as the header tells."""
    return dataset.get("LossyImageCompression") == "01" or dataset.file_meta.TransferSyntaxUID in LOSSY


def padding_mask(frame: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    """Which stored pixels only fill up the rectangle, of `frame`'s shape.

    Follows Pixel Padding Value and its range limit (PS3.3 C.7.5.1.1.2), those of float pixels for float pixels
    (C.7.6.24, C.7.6.25); where the value is NaN, every pixel that is NaN is padding.
    """
    prefix = next((prefix for element, prefix in FLOAT_PIXELS.items() if element in dataset), "")
    first = dataset.get(f"{prefix}PixelPaddingValue")
    if first is None or frame.ndim != 2:
        return np.zeros(frame.shape, bool)
    last = dataset.get(f"{prefix}PixelPaddingRangeLimit")
    ends = (first, first if last is None else last)
    if prefix:
        low, high = sorted(float(value) for value in ends)
        return np.isnan(frame) if math.isnan(low) else (frame >= low) & (frame <= high)
    low, high = sorted(_signed(int(value), dataset) for value in ends)
    return (frame >= low) & (frame <= high)


def decoded_frames(dataset: Dataset, numbers: list[int] | None = None) -> Iterator[NDArray[Any]]:
    """All frames, or those of these numbers, as their decoder gives them: bits above `BitsStored` may be there.

    Raises `FaultyFile` where a frame is broken.
    """
    check_frames(dataset)
    if dataset.BitsAllocated == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from _single_bits(dataset, numbers)
        return
    with library("pixels cannot be decoded"), panics_told():
        # pydicom would clear bits above `BitsStored`, whatever `HighBit` says; `pixel_bits` goes by both
        yield from iter_pixels(dataset, indices=numbers, correct_unused_bits=False)


def _single_bits(dataset: Dataset, numbers: list[int] | None) -> Iterator[NDArray[np.uint8]]:
    """Frames of one bit a pixel, which share bytes where their size is no multiple of eight (PS3.5 8.1.1)."""
    count, shape = int(dataset.get("NumberOfFrames") or 1), (int(dataset.Rows), int(dataset.Columns))
    packed, size = np.frombuffer(dataset.PixelData, np.uint8), math.prod(shape)
    if packed.size * 8 < count * size:
        raise FaultyFile(f"truncated: the header says {count * size} pixels, {packed.size * 8} are there. {REMEDY}")
    for number in range(count) if numbers is None else numbers:
        first = number * size
        bits = np.unpackbits(packed[first // 8 : (first + size + 7) // 8], bitorder="little")
        yield bits[first % 8 : first % 8 + size].reshape(shape)


@contextmanager
def panics_told() -> Iterator[None]:
    """Around decoders: what one in Rust raises when it gives up, which is no `Exception`, becomes `ValueError`."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # it has no module to import it from
            raise
        raise ValueError(f"its decoder gave up: {error}") from error


def _mapped_frame(dataset: Dataset, number: int) -> NDArray[Any] | None:
    """The frame as it lies in the file, where it lies there as numpy would have it; else nothing."""
    pixels: Any = dataset.get_item("PixelData", keep_deferred=True) if "PixelData" in dataset else None
    if not isinstance(pixels, RawDataElement) or pixels.value is not None:
        return None
    colour = dataset.PhotometricInterpretation == "RGB" and not dataset.PlanarConfiguration
    plain = dataset.file_meta.TransferSyntaxUID in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    if not plain or not (colour or dataset.SamplesPerPixel == 1) or dataset.BitsAllocated not in (8, 16, 32):
        return None
    dtype = np.dtype(f"<{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}")
    shape = (dataset.Rows, dataset.Columns, *((3,) if colour else ()))
    begins = pixels.value_tell + number * math.prod(shape) * dtype.itemsize
    return np.memmap(str(dataset.filename), dtype, mode="r", offset=begins, shape=shape)


def pixel_bits(frame: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """`frame`, or a part of it, without what lies above or below its pixel bits (overlays, in older files).

    Only syntaxes that store the bits as they are have such leftovers. Signs are extended: JPEG and JPEG-LS know none.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    allocated, stored, high = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or 0), dataset.get("HighBit")
    if frame.dtype.kind == "f":
        return frame
    if syntax.is_compressed and syntax != RLELossless and not syntax.is_deflated:
        if frame.dtype.kind != "i" or syntax not in SIGNLESS:
            return frame
        allocated, high = frame.dtype.itemsize * 8, stored - 1
    above = allocated - (stored if high is None else int(high) + 1)
    if stored >= allocated or allocated != frame.dtype.itemsize * 8:
        return frame
    shifted: NDArray[Any] = np.left_shift(frame, above)
    np.right_shift(shifted, allocated - stored, out=shifted)
    return shifted


def _signed(value: int, dataset: Dataset) -> int:
    """Some writers put a signed padding value into an unsigned attribute, or the other way round."""
    allocated, signed = int(dataset.BitsAllocated), bool(dataset.PixelRepresentation)
    if value < 0 and not signed:
        return value + (1 << allocated)
    return value - (1 << allocated) if signed and value >= 1 << allocated - 1 else value
