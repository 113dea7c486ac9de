"""Look-up tables: their entries, and the one that each stored value stands for.

Follows PS3.3 C.11.1.1 (modality LUT), C.7.6.3.1.5 and C.7.6.3.1.6 (palettes) and C.7.9.2 (segmented palettes).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import _expand_segmented_lut

from components.dicom.attributes import named
from components.imaging.decoding import REMEDY, FaultyFile, library

MOST = 2**16  # entries; a descriptor says 0 for it


def descriptor(dataset: Dataset, table: str) -> tuple[int, int, int]:
    """How many entries `table` has, the stored value of the first, and the bits of each."""
    keyword = f"{table}Descriptor"
    value = dataset.get(keyword)
    if not isinstance(value, (list, MultiValue)) or len(value) != 3:
        raise FaultyFile(f"{_called(keyword)}: expected 3 whole numbers, found another number of values. {REMEDY}")
    entries, first, bits = (int(one) for one in value)
    return entries % MOST or MOST, first, bits


def entries(dataset: Dataset, table: str, big: bool = False) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The entries of `table`, which lies as bytes (in big-endian words, if `big`), or as numbers (VR US).

    Entries of 8 bits share words, or have one each in older files. Raises `FaultyFile` where there are too few.
    """
    count, _, bits = descriptor(dataset, table)
    data = _bytes(dataset[f"{table}Data"].value, big)
    words = np.frombuffer(data[: 2 * count], "<u2") if len(data) >= 2 * count else None
    if words is not None and (bits > 8 or words.max() < 2**8):
        return words.astype(np.uint8) if bits <= 8 else words
    if len(data) < count or (bits > 8 and len(data) > count + 1):
        found = len(data) if bits <= 8 else len(data) // 2
        raise FaultyFile(f"{_called(f'{table}Data')}: expected {count} entries, found {found}. {REMEDY}")
    return np.frombuffer(data[:count], np.uint8)


def expanded(dataset: Dataset, table: str, big: bool = False) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The entries of the palette `table`, which lies in segments."""
    count, _, bits = descriptor(dataset, table)
    keyword = f"Segmented{table}Data"
    data = _bytes(dataset[keyword].value, big)
    size = 1 if bits <= 8 else 2
    segments = np.frombuffer(data[: len(data) // size * size], "u1" if size == 1 else "<u2")
    with library(f"{_called(keyword)} has segments that cannot be expanded. {REMEDY}"):
        found = np.array(_expand_segmented_lut(tuple(segments.tolist()), "<B" if size == 1 else "<H"), np.int64)
    if len(found) != count:
        raise FaultyFile(f"{_called(keyword)}: expected {count} entries, found {len(found)}. {REMEDY}")
    return found.astype(np.uint8) if size == 1 else found.astype(np.uint16)


def applied(frame: NDArray[Any], first: int, table: NDArray[Any]) -> NDArray[Any]:
    """For each stored value its entry; the first and the last one for those outside of the table."""
    if frame.dtype.kind == "i" and first >= MOST // 2:
        first -= MOST  # a signed value in an unsigned attribute, and the other way round
    if frame.dtype.kind == "u" and first < 0:
        first += MOST
    result: NDArray[Any] = table[np.clip(frame.astype(np.int64) - first, 0, len(table) - 1)]
    return result


def _bytes(value: Any, big: bool) -> bytes:
    """Little-endian words."""
    if not isinstance(value, bytes):
        values = list(value) if isinstance(value, (list, MultiValue)) else [value or 0]
        return (np.array(values, np.int64) & MOST - 1).astype("<u2").tobytes()
    return np.frombuffer(value[: len(value) // 2 * 2], ">u2").astype("<u2").tobytes() if big else value


def _called(keyword: str) -> str:
    return named(tag_for_keyword(keyword) or 0)
