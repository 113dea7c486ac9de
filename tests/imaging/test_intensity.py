"""Values to the unit range and back."""

import numpy as np
import pytest

from components.imaging.intensity import from_unit, luma, padding_of, percentile_range, to_unit
from tests.drawing import shapes


def test_unit_range_goes_there_and_back():
    image = (shapes(21, 34) * 3000 - 1024).astype(np.float32)

    unit = to_unit(image, -1024, 1976)

    assert unit.dtype == np.float32 and unit.min() >= 0 and unit.max() <= 1
    np.testing.assert_allclose(from_unit(unit, -1024, 1976), image, atol=0.01)


def test_values_outside_are_cut_off_only_when_asked():
    image = np.array([[-5.0, 5.0, 15.0]], np.float32)

    np.testing.assert_allclose(to_unit(image, 0, 10), [[0, 0.5, 1]])
    np.testing.assert_allclose(to_unit(image, 0, 10, clip=False), [[-0.5, 0.5, 1.5]])


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="low below high"):
        to_unit(np.zeros((2, 2), np.float32), 3, 3)


def test_percentiles_leave_outliers_out():
    image = np.linspace(0, 1, 10_001, dtype=np.float32).reshape(1, -1)
    image[0, 0], image[0, -1] = -1000, 1000

    low, high = percentile_range(image, 1, 99)

    assert low == pytest.approx(0.01, abs=1e-3) and high == pytest.approx(0.99, abs=1e-3)


def test_a_padded_surround_does_not_decide_the_range():
    image = np.full((50, 50), -2000, np.float32)
    image[10:40, 10:40] = np.random.default_rng(0).uniform(-1000, 500, (30, 30))

    low, high = percentile_range(image, 0.1, 99.9, padding_of(image))

    assert -1001 < low < -900 and 400 < high <= 500


def test_padding_needs_all_corners_of_all_frames():
    frames = np.ones((2, 6, 7), np.float32)
    frames[:, 0] = frames[:, -1] = 0
    assert padding_of(frames).sum() == 2 * 2 * 7

    frames[1, -1, -1] = 0.5
    assert not padding_of(frames).any()


def test_few_bright_spots_on_nothing_still_have_a_range():
    image = np.zeros((100, 100), np.float32)
    image[50, 50] = 7

    assert percentile_range(image, 1, 99) == (0, 7)
    assert percentile_range(image, 1, 99, padding_of(image)) == (0, 7)


def test_a_constant_image_is_refused_with_its_value():
    with pytest.raises(ValueError, match="42"):
        percentile_range(np.full((3, 4, 5), 42, np.float32), 0.1, 99.9)


def test_luma_of_grey_is_grey_and_green_weighs_most():
    grey = np.full((2, 5, 3), 120, np.float32)

    np.testing.assert_allclose(luma(grey), 120, rtol=1e-6)
    assert luma(np.eye(3, dtype=np.float32)).argmax() == 1
    with pytest.raises(ValueError, match="three colours"):
        luma(np.zeros((4, 4), np.float32))
