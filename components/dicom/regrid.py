"""What a DICOM image says in pixels, said again for a grid that is finer by a whole factor.

The patient does not move: pixels become smaller and more, and what the image covers stays where it was.
Attributes of the acquisition (acquisition matrix, detector element spacing) are not the grid's, and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DSdecimal, DSfloat, format_number_as_ds

SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def regrid(image: Dataset, scale: int) -> None:
    """Rewrites sizes, spacings, positions, regions, shutters and shifts of `image`, in place.

    Covers plane geometry (PS3.3 C.7.6.2), functional groups (C.7.6.16.2), nuclear medicine's detectors (C.8.4.11),
    ultrasound regions (C.8.5.5), shutters and collimators (C.7.6.11, C.8.7.3) and mask shifts (C.7.6.10).
    """
    image.Rows, image.Columns = image.Rows * scale, image.Columns * scale
    _regrid_planes(image, scale)
    for region in image.get("SequenceOfUltrasoundRegions") or ():
        _regrid_region(region, scale)
    for prefix in ("Shutter", "Collimator"):
        _regrid_shutter(image, prefix, scale)
    for mask in image.get("MaskSubtractionSequence") or ():
        if mask.get("MaskSubPixelShift"):
            mask.MaskSubPixelShift = [float(shift) * scale for shift in mask.MaskSubPixelShift]


def _regrid_planes(image: Dataset, scale: int) -> None:
    """Positions first: they move by the old spacing."""
    shared = list(image.get("SharedFunctionalGroupsSequence") or ())
    frames = list(image.get("PerFrameFunctionalGroupsSequence") or ())
    _give_frames_their_position(shared, frames)
    groups = [*shared, *frames]
    for group in groups:
        for plane in group.get("PlanePositionSequence") or ():
            _move(
                plane,
                _macros((group, *shared), "PlaneOrientationSequence"),
                _macros((group, *shared), "PixelMeasuresSequence"),
                scale,
            )
    for plane in (image, *(image.get("DetectorInformationSequence") or ())):
        _move(plane, [plane, image], [image], scale)
    for measures in [image, *_macros(groups, "PixelMeasuresSequence")]:
        for keyword in SPACINGS:
            if measures.get(keyword):
                setattr(measures, keyword, [_ds(float(spacing) / scale) for spacing in measures[keyword].value])


def _give_frames_their_position(shared: Iterable[Dataset], frames: Iterable[Dataset]) -> None:
    """What all frames share moves alike; where they are measured or turned on their own, each moves on its own."""
    if not (_macros(frames, "PixelMeasuresSequence") or _macros(frames, "PlaneOrientationSequence")):
        return
    for group in shared:
        position = group.pop("PlanePositionSequence", None)
        for frame in frames if position else ():
            if not frame.get("PlanePositionSequence"):
                frame.PlanePositionSequence = deepcopy(position.value)


def _macros(groups: Iterable[Dataset], keyword: str) -> list[Dataset]:
    return [item for group in groups for item in group.get(keyword) or ()]


def _move(plane: Dataset, oriented: Iterable[Dataset], measured: Iterable[Dataset], scale: int) -> None:
    """Moves the first pixel's centre: half an old pixel back to the image's corner, half a new one into it."""
    orientation = next((o.ImageOrientationPatient for o in oriented if o.get("ImageOrientationPatient")), None)
    spacing = next((m.PixelSpacing for m in measured if m.get("PixelSpacing")), None)
    if not plane.get("ImagePositionPatient") or orientation is None or spacing is None:
        return  # without all three the image has no place in the patient that could be kept
    along_row, along_column = np.array(orientation, dtype=float).reshape(2, 3)
    between_rows, between_columns = (float(value) for value in spacing)
    shift = (1 - 1 / scale) / 2 * (along_row * between_columns + along_column * between_rows)
    position = np.array(plane.ImagePositionPatient, dtype=float) - shift
    plane.ImagePositionPatient = [_ds(float(value)) for value in position]


def _ds(value: float) -> DSfloat | DSdecimal:
    """A decimal string's sixteen characters, the closest there is."""
    return DSfloat(format_number_as_ds(value))


def _regrid_region(region: Dataset, scale: int) -> None:
    """Corners are the first and last pixel inside (0-based); deltas are physical units a pixel."""
    for keyword in ("RegionLocationMinX0", "RegionLocationMinY0"):
        _rewrite(region, keyword, lambda first: first * scale)
    for keyword in ("RegionLocationMaxX1", "RegionLocationMaxY1"):
        _rewrite(region, keyword, lambda last: (last + 1) * scale - 1)
    for axis in "XY":
        _regrid_reference(region, axis, scale)
    for keyword in (
        "DopplerSampleVolumeXPosition",
        "DopplerSampleVolumeYPosition",
        "TMLinePositionX0",
        "TMLinePositionY0",
        "TMLinePositionX1",
        "TMLinePositionY1",
    ):
        _rewrite(region, keyword, lambda pixel: pixel * scale)


def _regrid_reference(region: Dataset, axis: str, scale: int) -> None:
    """The reference pixel becomes the first of its finer ones, whose centre lies a little before the old centre."""
    delta = region.get(f"PhysicalDelta{axis}")
    if delta is not None:
        offset = delta * (1 / scale - 1) / 2
        _rewrite(region, f"ReferencePixelPhysicalValue{axis}", lambda value: value + offset)
        setattr(region, f"PhysicalDelta{axis}", delta / scale)
    _rewrite(region, f"ReferencePixel{axis}0", lambda pixel: pixel * scale)


def _regrid_shutter(image: Dataset, prefix: str, scale: int) -> None:
    """Edges, centres and vertices are 1-based row and column numbers, a radius counts pixels along a row."""
    for keyword in ("LeftVerticalEdge", "UpperHorizontalEdge"):
        _rewrite(image, prefix + keyword, lambda first: (first - 1) * scale + 1)
    for keyword in ("RightVerticalEdge", "LowerHorizontalEdge"):
        _rewrite(image, prefix + keyword, lambda last: last * scale)
    for keyword in (f"CenterOfCircular{prefix}", f"VerticesOfThePolygonal{prefix}", f"VerticesOfPolygonal{prefix}"):
        _rewrite(image, keyword, lambda numbers: [_middle(number, scale) for number in numbers])
    _rewrite(image, f"RadiusOfCircular{prefix}", lambda radius: radius * scale)


def _middle(number: int, scale: int) -> int:
    """The finer pixel nearest the centre of pixel `number`, both counted from 1."""
    return (int(number) - 1) * scale + (scale + 1) // 2


def _rewrite(item: Dataset, keyword: str, change: Callable[[Any], Any]) -> None:
    if item.get(keyword) not in (None, ""):
        setattr(item, keyword, change(item[keyword].value))
