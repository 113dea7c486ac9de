from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from components.dicom.regrid import regrid
from tests.drawing import dicom

OBLIQUE = [0.6, 0.8, 0.0, -0.48, 0.36, 0.8]
STORED = np.zeros((7, 5), np.uint16)


def corners(
    plane: Dataset, measures: Dataset, orientation: list[float], rows: int, columns: int
) -> NDArray[np.float64]:
    """The outer corners of the first and last pixels in the patient, mm (PS3.3 C.7.6.2.1.1)."""
    origin, directions = np.array(plane.ImagePositionPatient, float), np.array(orientation, float).reshape(2, 3)
    row_spacing, column_spacing = (float(value) for value in measures.PixelSpacing)
    places = product((-0.5, rows - 0.5), (-0.5, columns - 0.5))
    return np.array([origin + directions[0] * column_spacing * j + directions[1] * row_spacing * i for i, j in places])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_image_covers_the_same_part_of_the_patient(scale: int) -> None:
    image = dicom(STORED, "MR", PixelSpacing=[0.7, 0.31], ImageOrientationPatient=OBLIQUE)
    before = corners(image, image, OBLIQUE, image.Rows, image.Columns)
    regrid(image, scale)
    assert (image.Rows, image.Columns) == (7 * scale, 5 * scale)
    assert [float(value) for value in image.PixelSpacing] == pytest.approx([0.7 / scale, 0.31 / scale])
    np.testing.assert_allclose(corners(image, image, OBLIQUE, image.Rows, image.Columns), before, atol=0.01)


def test_the_first_pixels_centre_moves_towards_the_corner() -> None:
    image = dicom(STORED, "CT", PixelSpacing=[1.0, 2.0], ImagePositionPatient=[10.0, 20.0, 30.0])
    regrid(image, 4)
    assert [float(value) for value in image.ImagePositionPatient] == [10 - 0.75, 20 - 0.375, 30]


def frames(image: Dataset, shared_position: bool) -> Dataset:
    shared, frame = Dataset(), Dataset()
    measures, orientation, position = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = [0.9, 0.8], OBLIQUE
    position.ImagePositionPatient = [1.5, -2.5, 3.5]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    (shared if shared_position else frame).PlanePositionSequence = [position]
    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [shared], [frame]
    return position


@pytest.mark.parametrize("shared_position", [True, False])
def test_functional_groups_keep_their_place_too(shared_position: bool) -> None:
    image = dicom(STORED, "NM")
    frames(image, shared_position)
    shared, frame = image.SharedFunctionalGroupsSequence[0], image.PerFrameFunctionalGroupsSequence[0]
    position = (shared if shared_position else frame).PlanePositionSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    before = corners(position, measures, OBLIQUE, 7, 5)
    regrid(image, 4)
    np.testing.assert_allclose(corners(position, measures, OBLIQUE, 28, 20), before, atol=0.01)
    assert measures.PixelSpacing == pytest.approx([0.225, 0.2])


MACROS = {  # what the first and the second frame say, where they do not share the first's
    "PlanePositionSequence": ("ImagePositionPatient", [1.5, -2.5, 3.5], [11.5, 2.5, -3.5]),
    "PlaneOrientationSequence": ("ImageOrientationPatient", OBLIQUE, [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]),
    "PixelMeasuresSequence": ("PixelSpacing", [0.9, 0.8], [2.0, 3.0]),
}


def said_of(image: Dataset, number: int, sequence: str) -> Dataset:
    groups = (image.PerFrameFunctionalGroupsSequence[number], image.SharedFunctionalGroupsSequence[0])
    found = [group[sequence][0] for group in groups if sequence in group]
    assert len(found) == 1, "PS3.3 C.7.6.16.1.1: shared or by frame, never both"
    return found[0]


def places(image: Dataset, number: int, rows: int, columns: int) -> NDArray[np.float64]:
    position, orientation, measures = (said_of(image, number, sequence) for sequence in MACROS)
    return corners(position, measures, orientation.ImageOrientationPatient, rows, columns)


@pytest.mark.parametrize("shared", list(product([True, False], repeat=3)))
def test_every_frame_keeps_its_place_whatever_frames_share(shared: tuple[bool, bool, bool]) -> None:
    image = dicom(np.stack([STORED] * 2), "NM")
    groups = [Dataset(), Dataset(), Dataset()]  # what is shared, then each frame's own
    for (sequence, (keyword, *values)), once in zip(MACROS.items(), shared, strict=True):
        for group, value in zip(groups[:1] if once else groups[1:], values, strict=False):
            item = Dataset()
            setattr(item, keyword, value)
            setattr(group, sequence, [item])
    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = groups[:1], groups[1:]
    before = [places(image, number, 7, 5) for number in (0, 1)]
    regrid(image, 4)
    for number in (0, 1):
        np.testing.assert_allclose(places(image, number, 28, 20), before[number], atol=0.01)


def test_every_frames_own_measures_are_divided_once() -> None:
    image = dicom(STORED, "NM")
    own = Dataset()
    own.PixelSpacing = [4.0, 2.0]
    frames(image, shared_position=False)
    image.PerFrameFunctionalGroupsSequence[0].PixelMeasuresSequence = [own]
    regrid(image, 2)
    assert image.PerFrameFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [2, 1]
    position = image.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    moved = np.array([1.5, -2.5, 3.5]) - 0.25 * (np.array(OBLIQUE[:3]) * 2 + np.array(OBLIQUE[3:]) * 4)
    np.testing.assert_allclose(np.array(position, float), moved, atol=1e-6)


def test_a_nuclear_medicine_detector_keeps_its_place() -> None:
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [0.0, 0.0, 0.0], [1, 0, 0, 0, 0, -1]
    image = dicom(STORED, "NM", PixelSpacing=[4.0, 4.0], DetectorInformationSequence=[detector])
    regrid(image, 2)
    assert image.DetectorInformationSequence[0].ImagePositionPatient == [-1, 0, 1]


def test_every_kind_of_spacing_is_divided_and_an_unknown_one_stays_unknown() -> None:
    image = dicom(STORED, "CR", ImagerPixelSpacing=[0.2, 0.1], NominalScannedPixelSpacing=[1, 1], PixelSpacing=[0, 0])
    regrid(image, 2)
    assert (image.ImagerPixelSpacing, image.NominalScannedPixelSpacing) == ([0.1, 0.05], [0.5, 0.5])
    assert image.PixelSpacing == [0, 0]


def test_a_spacing_that_does_not_end_fits_a_decimal_string() -> None:
    image = dicom(STORED, "CT", PixelSpacing=[0.478516, 0.7])
    regrid(image, 3)
    assert all(len(str(value)) <= 16 for value in [*image.PixelSpacing, *image.ImagePositionPatient])


def test_an_ultrasound_region_measures_the_same() -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 10, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 19, 7
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.04, -0.02
    region.ReferencePixelX0, region.ReferencePixelPhysicalValueX = 3, 1.0
    image = dicom(STORED.astype(np.uint8), "US", SequenceOfUltrasoundRegions=[region])
    regrid(image, 4)
    finer = image.SequenceOfUltrasoundRegions[0]
    assert (finer.RegionLocationMinX0, finer.RegionLocationMaxX1) == (40, 79)
    assert (finer.RegionLocationMinY0, finer.RegionLocationMaxY1) == (0, 31)
    assert (finer.PhysicalDeltaX, finer.PhysicalDeltaY) == pytest.approx((0.01, -0.005))
    middle_of_old_reference_pixel = (3 + 0.5) * 4 - 0.5
    shifted = middle_of_old_reference_pixel - finer.ReferencePixelX0
    assert finer.ReferencePixelPhysicalValueX + shifted * finer.PhysicalDeltaX == pytest.approx(1.0)


def test_shutters_and_collimators_hide_the_same() -> None:
    image = dicom(
        np.zeros((40, 30), np.uint16), "CR", ShutterShape="RECTANGULAR", ShutterLeftVerticalEdge=3,
        ShutterRightVerticalEdge=28, ShutterUpperHorizontalEdge=1, ShutterLowerHorizontalEdge=40,
        CenterOfCircularCollimator=[20, 15], RadiusOfCircularCollimator=10,
    )  # fmt: skip
    regrid(image, 4)
    assert (image.ShutterLeftVerticalEdge, image.ShutterRightVerticalEdge) == (9, 112)
    assert (image.ShutterUpperHorizontalEdge, image.ShutterLowerHorizontalEdge) == (1, 160)
    assert image.CenterOfCircularCollimator == [78, 58]
    assert image.RadiusOfCircularCollimator == 40
