"""The pixels inside a DICOM data set, frame by frame: as they are stored, and in the values they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
END_OF_JPEG = b"\xff\xd9"


def stored_frames(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """Each frame as stored: (rows, columns), or (rows, columns, 3) with YBR as RGB; bits above `BitsStored` dropped."""
    _check_codestreams(dataset)
    yield from map(partial(_pixel_bits, dataset=dataset), iter_pixels(dataset))  # which lets go of the frame as it came


def frame_values(frame: NDArray[Any], dataset: Dataset, number: int) -> NDArray[np.float32]:
    """Frame `number` (from 0), as stored, in the values it stands for; padding and palettes are resolved."""
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


def is_lossy(dataset: Dataset) -> bool:
    """Whether the values were ever compressed with loss, as far as the header tells."""
    return dataset.get("LossyImageCompression") == "01" or dataset.file_meta.TransferSyntaxUID in LOSSY


def padding_mask(frame: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    """Which stored pixels only fill up the rectangle (Pixel Padding Value, PS3.3 C.7.5.1.1.2), of `frame`'s shape."""
    first = dataset.get("PixelPaddingValue")
    if first is None or frame.ndim != 2:
        return np.zeros(frame.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted(_signed(int(value), dataset) for value in (first, first if last is None else last))
    return (frame >= low) & (frame <= high)


def _check_codestreams(dataset: Dataset) -> None:
    """Raises `ValueError` for a JPEG or JPEG-LS frame without its end marker: decoders make up what is missing."""
    if dataset.file_meta.TransferSyntaxUID not in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        return
    expected = int(dataset.get("NumberOfFrames") or 1)
    for number, stream in enumerate(generate_frames(dataset.PixelData, number_of_frames=expected), start=1):
        if END_OF_JPEG not in stream[-16:]:
            raise ValueError(f"frame {number} is truncated")


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
    shifted: NDArray[Any] = np.left_shift(frame, above)
    np.right_shift(shifted, allocated - stored, out=shifted)
    return shifted


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
    if dataset.get("ModalityLUTSequence") or dataset.get("RescaleSlope") is not None:
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


def _signed(value: int, dataset: Dataset) -> int:
    """Some writers put a signed padding value into an unsigned attribute."""
    allocated = int(dataset.BitsAllocated)
    return value - 2**allocated if dataset.PixelRepresentation and value >= 2 ** (allocated - 1) else value
