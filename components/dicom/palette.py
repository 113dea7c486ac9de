"""Palette indices to the colours they stand for (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from components.dicom.attributes import COLOURS
from components.dicom.lookup import applied, descriptor, entries, expanded
from components.imaging.decoding import library


def colours(frame: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """`frame`, palette indices as stored, in RGB: of its shape and 3, in 8 or 16 bits as the palette has.

    Tables of any byte order give the same colours. Raises `FaultyFile` where there is no palette that fits.
    """
    with library("its palette cannot be applied"):
        return np.stack([_channel(frame, dataset, f"{colour}PaletteColorLookupTable") for colour in COLOURS], axis=-1)


def _channel(frame: NDArray[Any], dataset: Dataset, table: str) -> NDArray[Any]:
    in_segments = f"Segmented{table}Data" in dataset and f"{table}Data" not in dataset
    data = dataset[f"Segmented{table}Data" if in_segments else f"{table}Data"]
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian and data.VR == "OW"
    values = expanded(dataset, table, big) if in_segments else entries(dataset, table, big)
    return applied(frame, descriptor(dataset, table)[1], values)
