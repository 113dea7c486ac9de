"""The mask of the patient."""

import numpy as np
import pytest

from components.imaging.body import body_mask
from components.simulation.cohort import simulate


def _disc(rows, columns, radius):
    y, x = np.mgrid[0:rows, 0:columns]
    return (y - rows / 2) ** 2 + (x - columns / 2) ** 2 < radius**2


def _overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_a_bright_body_on_dark_noise_is_found():
    random, truth = np.random.default_rng(0), _disc(121, 150, 40)
    image = np.clip(0.5 * truth + random.normal(0.05, 0.02, truth.shape), 0, 1).astype(np.float32)

    mask = body_mask(image)

    assert mask.dtype == bool and _overlap(mask, truth) > 0.95


def test_holes_are_filled_and_specks_dropped():
    truth = _disc(120, 120, 45)
    image = 0.6 * truth.astype(np.float32)
    image[_disc(120, 120, 15)] = 0
    image[3:6, 3:6] = 1

    mask = body_mask(image)

    assert mask[60, 60] and not mask[4, 4]


def test_two_large_parts_both_stay():
    image = np.zeros((100, 160), np.float32)
    image[20:80, 10:70] = image[20:80, 90:150] = 0.7

    mask = body_mask(image)

    assert mask[50, 40] and mask[50, 120] and not mask[50, 80]


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_image_is_body_everywhere(value):
    assert body_mask(np.full((33, 47), value, np.float32)).all()


def test_an_image_of_nothing_but_a_spot_is_body_everywhere():
    image = np.zeros((200, 200), np.float32)
    image[100, 100] = 1

    assert body_mask(image).all()


def test_a_bright_collimated_surround_is_not_body():
    random, truth = np.random.default_rng(1), np.zeros((160, 140), bool)
    truth[20:140, 25:115] = True
    image = np.where(truth, random.normal(0.55, 0.08, truth.shape), 1.0)
    image[60:100, 50:90] = 0.1

    mask = body_mask(np.clip(image, 0, 1).astype(np.float32))

    assert not mask[:15].any() and not mask[:, :20].any() and _overlap(mask, truth) > 0.8


def test_a_flat_bright_body_that_reaches_the_border_is_body():
    image = 0.95 * _disc(120, 100, 50).astype(np.float32)

    assert _overlap(body_mask(image), _disc(120, 100, 50)) > 0.95


def test_dim_tissue_beside_bright_tissue_is_body():
    random, truth = np.random.default_rng(2), _disc(140, 140, 55)
    image = np.where(truth, 0.25, 0.02)
    image[_disc(140, 140, 25)] = 0.9

    mask = body_mask(np.clip(image + random.normal(0, 0.02, image.shape), 0, 1).astype(np.float32))

    assert _overlap(mask, truth) > 0.95


def test_a_chest_film_is_masked_without_the_air_above_the_shoulders():
    film = next(simulate(seed=3, patients=1, size=96))

    mask = body_mask((film.pixels / 4095).astype(np.float32))

    assert mask[-8:, 30:66].all()
    assert 0.3 < mask.mean() < 0.99
