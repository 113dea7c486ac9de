"""Overlays among the bits of pixels (PS3.3 C.9.2 as it was until 2004): which of them cannot be told from pixels."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, RLELossless

from components.imaging.decoding import BROKEN, REMEDY, FaultyFile

GROUPS = range(0x6000, 0x6020, 2)
BITS_ALLOCATED, BIT_POSITION, DATA = 0x0100, 0x0102, 0x3000


def refuse_overlays_in_pixels(dataset: Dataset) -> None:
    """Raises `FaultyFile` where an overlay lies in bits that count as pixel bits: its letters would stay.

    Bits beside those of pixels are cleared (`components/dicom/pixel_data.py`). A compressed frame has no others.
    """
    if "PixelData" not in dataset:
        return
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    high = dataset.get("HighBit")
    in_place = not syntax.is_encapsulated or syntax == RLELossless
    last = int(high) if in_place and high is not None else int(dataset.BitsStored) - 1
    for group in GROUPS:
        position = _position(dataset, group)
        if position is not None and last - int(dataset.BitsStored) < position <= last:
            raise FaultyFile(
                f"Overlay Bit Position ({group:04X},0102): expected a bit that no pixel uses, found one that its "
                f"pixels use, so that the overlay cannot be taken out. {REMEDY}"
            )


def _position(dataset: Dataset, group: int) -> int | None:
    """The bit in which an overlay without data of its own lies."""
    if (group, DATA) in dataset:
        return None
    try:
        allocated: Any = dataset[group, BITS_ALLOCATED].value
        return int(dataset[group, BIT_POSITION].value) if int(allocated) > 1 else None
    except BROKEN:
        return None
