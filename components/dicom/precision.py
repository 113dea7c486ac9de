"""Compressed frames of another depth than the header says: the frame decides where its values are certain.

Precision and sign of a frame have to be those of the image (PS3.5 8.2.1, 8.2.3, 8.2.4); archives hold others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from components.dicom.codestreams import Codestream, check_frames
from components.dicom.frames import decoded_frames
from components.imaging.decoding import FaultyFile

REMEDY = "Compress the image again, or leave the file out"


def settle_precision(dataset: Dataset) -> None:
    """Sets Bits Stored and High Bit of `dataset` to what its compressed frames hold, in place.

    Frames of a precision above Bits Stored are decoded: where their values fit the bits stored, nothing is changed.
    Raises `FaultyFile` where a frame is broken, where it has more bits than are allocated, or where the sign of its
    values is uncertain.
    """
    frames = check_frames(dataset)
    if not frames:
        return
    bits, signed = max(frame.bits for frame in frames), dataset.PixelRepresentation == 1
    stored, allocated = dataset.BitsStored, dataset.BitsAllocated
    if bits > allocated:
        raise FaultyFile(
            f"expected frames of at most {allocated} bits (Bits Allocated), found a precision of {bits}. {REMEDY}"
        )
    contradicts = any(frame.signed is not None and frame.signed != signed for frame in frames)
    if bits <= stored and not contradicts:
        if bits <= 8 < allocated:  # so have the frames that a decoder gives
            dataset.BitsAllocated = 8
            _set_bits(dataset, min(stored, 8))
        if bits < dataset.BitsStored and signed and frames[0].signed is None:
            _set_bits(dataset, bits)  # the sign is the highest bit that a sample has
        return
    _set_bits(dataset, bits)
    low, high = _range(dataset)
    if contradicts:
        _refuse_uncertain_sign(low, high, bits, signed)
    if bits > stored and _fits(low, high, stored, signed):
        _set_bits(dataset, stored)
    elif bits > stored and signed and _may_lack_its_sign(low, high, stored, frames):
        raise FaultyFile(
            f"expected signed values of {stored} bits (Bits Stored), found frames of {bits} bits whose negative values "
            f"cannot be told from large ones. {REMEDY}"
        )
    else:
        _set_bits(dataset, max(bits, stored))


def _set_bits(dataset: Dataset, bits: int) -> None:
    dataset.BitsStored, dataset.HighBit = bits, bits - 1


def _range(dataset: Dataset) -> tuple[int, int]:
    """Lowest and highest of all frames' values, decoded one after another."""
    limits = [(int(frame.min()), int(frame.max())) for frame in decoded_frames(dataset)]
    lowest, highest = np.array(limits).T
    return int(lowest.min()), int(highest.max())


def _fits(low: int, high: int, bits: int, signed: bool) -> bool:
    lowest, above = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    return lowest <= low and high < above


def _may_lack_its_sign(low: int, high: int, stored: int, frames: Sequence[Codestream]) -> bool:
    """Values that would be negative if the highest bit stored were the sign; JPEG 2000 says where it is."""
    return frames[0].signed is None and low >= -(1 << stored - 1) and high < 1 << stored


def _refuse_uncertain_sign(low: int, high: int, bits: int, signed: bool) -> None:
    if low < 0 or high >= 1 << bits - 1:
        said, found = ("signed", "unsigned") if signed else ("unsigned", "signed")
        raise FaultyFile(
            f"Pixel Representation (0028,0103): expected what the frames say, {found}, found {said}, and some values "
            f"differ between the two. {REMEDY}"
        )
