"""Which slope and intercept count, by frame, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from components.dicom.read import read_dicom
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, write_dicom

GREY = np.arange(35, dtype=np.uint16).reshape(5, 7)


def pixels(tmp_path: Path, image: Dataset) -> Any:
    return read_dicom(write_dicom(tmp_path / "a.dcm", image)).pixels


def group(**rescale: float) -> Dataset:
    transformation, whole = Dataset(), Dataset()
    for keyword, value in rescale.items():
        setattr(transformation, keyword, value)
    whole.PixelValueTransformationSequence = [transformation]
    return whole


def test_each_frame_has_its_own_whatever_stands_at_the_top(tmp_path: Path) -> None:
    groups = [group(RescaleSlope=1, RescaleIntercept=-5), group(RescaleSlope=3, RescaleIntercept=-5)]
    film = dicom(np.stack([GREY, GREY]), "CT", PerFrameFunctionalGroupsSequence=groups, RescaleSlope=7)
    np.testing.assert_array_equal(pixels(tmp_path, film), [GREY - 5.0, GREY * 3.0 - 5])


def test_what_all_frames_share_counts_before_what_stands_at_the_top(tmp_path: Path) -> None:
    shared = [group(RescaleSlope=2, RescaleIntercept=1)]
    film = dicom(np.stack([GREY, GREY]), "CT", SharedFunctionalGroupsSequence=shared, RescaleSlope=7)
    np.testing.assert_array_equal(pixels(tmp_path, film), [GREY * 2.0 + 1] * 2)


def test_a_group_that_says_nothing_of_values_leaves_it_to_the_top(tmp_path: Path) -> None:
    film = dicom(np.stack([GREY, GREY]), "CT", PerFrameFunctionalGroupsSequence=[Dataset(), group()], RescaleSlope=2)
    np.testing.assert_array_equal(pixels(tmp_path, film), [GREY * 2.0 - 1024] * 2)


@pytest.mark.parametrize(
    ("lacks", "factor", "offset"), [("RescaleSlope", 1, -1024), ("RescaleIntercept", 1, 0)], ids=["slope", "intercept"]
)
@pytest.mark.parametrize("empty", [False, True])
def test_where_one_lacks_the_other_counts(tmp_path: Path, lacks: str, factor: int, offset: int, empty: bool) -> None:
    image = dicom(GREY, "CT")
    image[lacks].value = None
    if not empty:
        del image[lacks]
    np.testing.assert_array_equal(pixels(tmp_path, image)[0], GREY * float(factor) + offset)


def test_a_slope_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"Rescale Slope \(0028,1053\): expected a number other than 0, found 0"):
        pixels(tmp_path, dicom(GREY, "CT", RescaleSlope=0))
    groups = [group(RescaleSlope=1, RescaleIntercept=0), group(RescaleSlope=0, RescaleIntercept=0)]
    with pytest.raises(UnreadableImage, match="Rescale Slope"):
        pixels(tmp_path, dicom(np.stack([GREY, GREY]), "MR", PerFrameFunctionalGroupsSequence=groups))


def test_a_slope_that_does_not_count_does_no_harm(tmp_path: Path) -> None:
    groups = [group(RescaleSlope=2, RescaleIntercept=0)]
    image = dicom(GREY, "CT", PerFrameFunctionalGroupsSequence=groups, RescaleSlope=0)
    np.testing.assert_array_equal(pixels(tmp_path, image)[0], GREY * 2.0)


@pytest.mark.parametrize("own", [1, 2])
def test_a_frame_without_a_transformation_beside_others_is_refused(tmp_path: Path, own: int) -> None:
    groups = [group(RescaleSlope=2)] * own + [Dataset()] * (own == 2)
    film = dicom(np.stack([GREY] * 3), "CT", PerFrameFunctionalGroupsSequence=groups)
    says = rf"Pixel Value Transformation Sequence \(0028,9145\): expected one for every frame, .* frame {own + 1}"
    with pytest.raises(UnreadableImage, match=says):
        pixels(tmp_path, film)
