from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from components.classical.segmentation import segment
from components.imaging.intensity import percentile_range, to_unit
from components.simulation.cohort import anatomy_of, simulate
from components.simulation.thorax import path_lengths
from tests.drawing import shapes


@lru_cache
def films() -> list[tuple[np.ndarray, np.ndarray]]:
    """Twelve simulated films in [0, 1], and where a ray meets more than 40 mm of lung."""
    found = []
    for film in simulate(7, 12, 128):
        pixels = film.pixels.astype(np.float32)[None]
        lung = path_lengths(anatomy_of(7, film.patient_number), 128, np.random.default_rng(0)).lung
        found.append((to_unit(pixels, *percentile_range(pixels, 0.1, 99.9))[0], lung > 40))
    return found


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())


def test_the_lungs_of_simulated_films_are_found_where_they_are() -> None:
    thoraces = [segment(image) for image, _ in films()]
    assert all(thorax.lungs_found for thorax in thoraces)
    overlaps = [dice(thorax.lungs, truth) for thorax, (_, truth) in zip(thoraces, films(), strict=True)]
    assert np.mean(overlaps) > 0.8 and min(overlaps) > 0.7, overlaps


def test_right_is_the_pictures_left_and_a_mirrored_film_swaps_them() -> None:
    image = films()[0][0]
    thorax, mirrored = segment(image), segment(np.ascontiguousarray(image[:, ::-1]))
    assert np.flatnonzero(thorax.right.any(0)).mean() < np.flatnonzero(thorax.left.any(0)).mean()
    assert not (thorax.right & thorax.left).any()
    assert dice(mirrored.right, thorax.left[:, ::-1]) > 0.9


@pytest.mark.parametrize("image", [np.zeros((37, 29), np.float32), np.full((29, 37), 0.5, np.float32)])
def test_where_there_are_no_lungs_the_halves_of_the_body_stand_for_them(image: np.ndarray) -> None:
    thorax = segment(image)
    assert not thorax.lungs_found
    np.testing.assert_array_equal(thorax.lungs, thorax.body)
    assert thorax.right.any() and thorax.left.any()


def test_regions_are_what_they_are_called() -> None:
    thorax = segment(shapes(41, 53, seed=3))
    assert thorax.region("whole").all()
    np.testing.assert_array_equal(thorax.region("body"), thorax.body)
    np.testing.assert_array_equal(thorax.region("lungs"), thorax.lungs)
    with pytest.raises(ValueError, match="expected whole, body or lungs, found 'heart'"):
        thorax.region("heart")  # type: ignore[arg-type]
