"""From stored values to modality values: by frame where an enhanced image says so, else for the whole image.

Follows PS3.3 C.11.1 (modality LUT and rescale) and C.7.6.16.2.9 (pixel value transformation, which replaces them).
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ExplicitVRBigEndian

from components.dicom.attributes import named
from components.dicom.lookup import applied, descriptor, entries
from components.imaging.decoding import REMEDY, FaultyFile, library

SLOPE, INTERCEPT = "RescaleSlope", "RescaleIntercept"
SLOPE_TAG, TRANSFORMATION_TAG = 0x00281053, 0x00289145


def modality_values(frame: NDArray[Any], dataset: Dataset, number: int) -> NDArray[Any]:
    """Frame `number` (from 0), as stored, in the values that it stands for: HU for CT. `frame` stays as it is.

    Raises `FaultyFile` where the slope is 0, or a lookup table cannot be applied.
    """
    transformation = _transformation(dataset, number)
    if transformation is None and dataset.get("ModalityLUTSequence"):
        return applied(frame, *_modality_lut(dataset))
    rescale = _rescale(dataset if transformation is None else transformation)
    return frame if rescale is None else apply_modality_lut(frame, rescale)


def check_rescale(dataset: Dataset) -> None:
    """Raises `FaultyFile` where values cannot be told: of a slope of 0, of no table, or of some frames alone."""
    if dataset.get("ModalityLUTSequence"):
        _modality_lut(dataset)
    transformations = [_transformation(dataset, number) for number in range(int(dataset.get("NumberOfFrames") or 1))]
    if None in transformations and any(one is not None for one in transformations):
        raise FaultyFile(
            f"{named(TRANSFORMATION_TAG)}: expected one for every frame, found none for frame "
            f"{transformations.index(None) + 1}, so that nobody knows what its values mean. {REMEDY}"
        )
    for transformation in transformations:
        if transformation is not None or not dataset.get("ModalityLUTSequence"):
            _rescale(dataset if transformation is None else transformation)


def _modality_lut(dataset: Dataset) -> tuple[int, NDArray[Any]]:
    """The stored value of the first entry, and the entries."""
    item = dataset.ModalityLUTSequence[0]
    with library("the modality LUT cannot be applied"):
        big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian and item["LUTData"].VR == "OW"
        return descriptor(item, "LUT")[1], entries(item, "LUT", big)


def _rescale(source: Dataset) -> Dataset | None:
    """Slope and intercept, where `source` has either: the other is 1 or 0."""
    slope, intercept = source.get(SLOPE), source.get(INTERCEPT)
    if slope is None and intercept is None:
        return None
    if slope == 0:
        raise FaultyFile(f"{named(SLOPE_TAG)}: expected a number other than 0, found 0. {REMEDY}")
    rescale = Dataset()
    rescale.RescaleSlope = 1 if slope is None else slope
    rescale.RescaleIntercept = 0 if intercept is None else intercept
    return rescale


def _transformation(dataset: Dataset, number: int) -> Dataset | None:
    """An enhanced image's own for frame `number`, else the one that all frames share, else None."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in (*own[number : number + 1], *shared[:1]):
        for item in (group.get("PixelValueTransformationSequence") or [])[:1]:
            if item.get(SLOPE) is not None or item.get(INTERCEPT) is not None:
                return item  # type: ignore[no-any-return]
    return None
