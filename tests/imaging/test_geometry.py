"""Cropping, blank borders, squares, frames."""

import numpy as np
import pytest

from components.imaging.geometry import (
    content_box,
    crop_to_multiple,
    fit_channels,
    fit_square,
    frames_to_take,
    planes_of,
)
from tests.drawing import shapes


def test_the_middle_is_kept():
    image = np.arange(11 * 14, dtype=np.float32).reshape(11, 14)

    cropped = crop_to_multiple(image, 4)

    np.testing.assert_array_equal(cropped, image[1:9, 1:13])


def test_a_multiple_is_left_alone_and_a_smaller_image_refused():
    image = shapes(12, 8)

    np.testing.assert_array_equal(crop_to_multiple(image, 4), image)
    with pytest.raises(ValueError, match="at least 16"):
        crop_to_multiple(image, 16)


def test_blank_borders_are_found_whatever_their_value():
    image = np.full((30, 41), 0.4, np.float32)
    image[7:20, 5:33] = shapes(13, 28) + np.linspace(0, 0.1, 13, dtype=np.float32)[:, None]

    assert content_box(image, 0.01) == (slice(7, 20), slice(5, 33))


def test_blank_lines_inside_stay():
    image = np.zeros((9, 9), np.float32)
    image[2, 3] = image[6, 5] = 1

    assert content_box(image, 0.01) == (slice(2, 7), slice(3, 6))


def test_a_blank_image_has_no_content():
    rows, columns = content_box(np.full((9, 9), 0.3, np.float32), 0.01)

    assert np.zeros((9, 9))[rows, columns].size == 0


def test_a_square_keeps_the_aspect_and_centres_it():
    square = fit_square(np.ones((60, 30), np.float32), 20)

    assert square.shape == (20, 20) and square.dtype == np.float32
    np.testing.assert_allclose(square[:, 5:15], 1, atol=1e-6)
    assert not square[:, :5].any() and not square[:, 15:].any()


def test_a_square_stays_in_the_unit_range():
    edge = np.zeros((33, 47), np.float32)
    edge[:, 20:] = 1

    square = fit_square(edge, 16)

    assert square.min() >= 0 and square.max() <= 1


@pytest.mark.parametrize(
    ("frames", "wanted", "taken"),
    [(1, 3, (0,)), (3, 3, (0, 1, 2)), (10, 1, (5,)), (10, 3, (1, 5, 8)), (120, 4, (15, 45, 75, 105))],
)
def test_frames_are_spread_evenly(frames, wanted, taken):
    assert frames_to_take(frames, wanted) == taken


def test_no_frame_is_taken_twice():
    for frames in range(1, 40):
        for wanted in range(1, 40):
            taken = frames_to_take(frames, wanted)
            assert len(set(taken)) == min(frames, wanted) and min(taken) >= 0 and max(taken) < frames


def test_taking_frames_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one frame or more"):
        frames_to_take(0, 3)


def test_the_planes_of_an_image_are_its_channels():
    colour = np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3)
    np.testing.assert_array_equal(planes_of(colour)[1], colour[..., 1])
    (grey,) = planes_of(colour[..., 0])
    np.testing.assert_array_equal(grey, colour[..., 0])


def test_a_grey_plane_is_repeated_and_colours_keep_their_order():
    planes = [np.full((5, 7), value, np.float32) for value in (0.1, 0.5, 0.9)]
    fitted = fit_channels(planes, 8, 3)
    assert fitted.shape == (3, 8, 8) and [channel.max() for channel in fitted] == pytest.approx([0.1, 0.5, 0.9])
    repeated = fit_channels(planes[:1], 8, 3)
    assert all(np.array_equal(channel, fit_square(planes[0], 8)) for channel in repeated)
    with pytest.raises(ValueError, match=r"expected 1 or 1 channel\(s\), found 3"):
        fit_channels(planes, 8, 1)
