import numpy as np
import pytest

from components.simulation.dead_leaves import dead_leaves


def test_an_image_follows_from_seed_and_number_alone() -> None:
    np.testing.assert_array_equal(dead_leaves(1, 2, 65), dead_leaves(1, 2, 65))
    assert not np.array_equal(dead_leaves(1, 2, 65), dead_leaves(1, 3, 65))
    assert not np.array_equal(dead_leaves(1, 2, 65), dead_leaves(2, 2, 65))


def test_values_fill_the_range_and_the_plane_is_covered() -> None:
    image = dead_leaves(0, 0, 129)
    assert image.shape == (129, 129) and image.dtype == np.float32
    assert 0 <= image.min() < 0.1 and 0.9 < image.max() <= 1
    values, counts = np.unique(image.round(2), return_counts=True)
    assert len(values) > 80 and counts.max() < image.size / 5  # no ground shows through everywhere


@pytest.mark.parametrize("number", range(3))
def test_structure_is_there_at_every_scale_and_falls_with_frequency(number: int) -> None:
    """Power falls roughly with the square of frequency, as it does in photographs."""
    image = dead_leaves(7, number, 256)
    power = np.abs(np.fft.fftshift(np.fft.fft2(image - image.mean()))) ** 2
    y, x = np.indices(power.shape) - 128
    radius = np.hypot(y, x).astype(int)
    radial = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    slope = np.polyfit(np.log(np.arange(4, 60)), np.log(radial[4:60]), 1)[0]
    assert -3.5 < slope < -1.2
