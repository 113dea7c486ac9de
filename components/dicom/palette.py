"""Palette indices to the colours they stand for (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from components.dicom.attributes import COLOURS
from components.imaging.decoding import library


def colours(frame: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """`frame`, palette indices as stored, in RGB: of its shape and 3, in 8 or 16 bits as the palette has.

    Tables of any byte order give the same colours. Raises `FaultyFile` where there is no palette that fits.
    """
    with library("its palette cannot be applied"):
        return apply_color_lut(frame, _little_endian(dataset))[..., :3]


def _little_endian(dataset: Dataset) -> Dataset:
    """The palette of `dataset` with words in little-endian order, which pydicom takes them to have."""
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    palette = Dataset()
    palette.file_meta = FileMetaDataset()
    palette.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for colour in COLOURS:
        table = f"{colour}PaletteColorLookupTable"
        if f"{table}Descriptor" in dataset:
            palette[f"{table}Descriptor"] = dataset[f"{table}Descriptor"]
        for keyword in (f"{table}Data", f"Segmented{table}Data"):
            if keyword in dataset:
                palette.add_new(keyword, "OW", _words(dataset[keyword].value, big and dataset[keyword].VR == "OW"))
    return palette


def _words(value: Any, swapped: bool) -> bytes:
    """Bytes of a table; some writers give it as numbers (VR US)."""
    if not isinstance(value, bytes):
        return np.array(value, "<u2").tobytes()
    return np.frombuffer(value, ">u2").astype("<u2").tobytes() if swapped else value
