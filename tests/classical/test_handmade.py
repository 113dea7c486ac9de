from __future__ import annotations

import numpy as np
import pytest

from components.classical.handmade import Handmade, intensity, shape, texture
from components.classical.segmentation import Thorax
from tests.drawing import shapes


def box(top: int, left: int, bottom: int, right: int, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("region", ["whole", "body", "lungs"])
def test_every_image_gives_the_same_features_in_finite_numbers(region: str) -> None:
    extractor = Handmade(region)  # type: ignore[arg-type]
    images = [shapes(45, 38, seed=1), shapes(64, 64, seed=2), np.zeros((29, 31), np.float32)]
    found = [extractor.features(image) for image in images]
    assert len({len(features) for features in found}) == 1
    assert all(np.isfinite(features).all() for features in found)
    assert not np.allclose(found[0], found[1])


def test_intensity_tells_moments_and_percentiles() -> None:
    values = np.repeat(np.array([0.25, 0.75], np.float32), 50)
    mean, spread, skewness, _, entropy, low, *_, high = intensity(values)
    assert (mean, spread, skewness, entropy) == pytest.approx((0.5, 0.25, 0, 1))
    assert (low, high) == pytest.approx((0.25, 0.75))
    assert not intensity(values[:0]).any()


def test_texture_sees_only_what_is_inside() -> None:
    inside, image = box(4, 4, 36, 36), shapes(40, 40, seed=5)
    other = np.where(box(2, 2, 38, 38), image, 1 - image)  # two pixels around it too, for edges and patterns reach over
    np.testing.assert_allclose(texture(image, inside), texture(other, inside))
    assert not np.allclose(texture(image, inside), texture(1 - image**2, inside))


def test_a_checkerboard_has_more_contrast_than_a_ramp() -> None:
    rows, columns = np.mgrid[:40, :40]
    board, ramp = ((rows + columns) % 2).astype(np.float32), (columns / 39).astype(np.float32)
    everywhere = np.ones((40, 40), bool)
    assert texture(board, everywhere)[0] > 10 * texture(ramp, everywhere)[0]


def test_a_wider_heart_is_a_wider_middle() -> None:
    right = box(5, 2, 35, 12)
    narrow, wide = (Thorax(box(0, 0, 40, 40), right, box(5, left, 35, 38), True) for left in (18, 26))
    small, large = shape(narrow)[-1], shape(wide)[-1]
    assert small == pytest.approx((18 - 12) / (38 - 2)) and large == pytest.approx((26 - 12) / (38 - 2))
