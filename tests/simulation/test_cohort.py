"""Simulated chest films: repeatable, physical, and not separable by one number."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from components.simulation.anatomy import draw_anatomy
from components.simulation.cohort import _film, anatomy_of, simulate
from components.simulation.thorax import path_lengths

COHORT = 3000  # anatomies only: no film is made


@pytest.fixture(scope="module")
def films():
    return list(simulate(seed=5, patients=6, size=64))


@pytest.fixture(scope="module")
def chest():
    """A middling chest without fluid or congestion."""
    body = draw_anatomy(np.random.default_rng(0), "normal")
    return replace(body, effusion=(0.0, 0.0), congestion=0.0, rotation=0.0, turn=0.0, cardiothoracic_ratio=0.45)


def _lung(body, size=96):
    return path_lengths(body, size, np.random.default_rng(0)).lung


@pytest.fixture(scope="module")
def auroc():
    """How well a measure of the true anatomy tells heart failure from health."""
    chests = [anatomy_of(1, number) for number in range(COHORT)]
    failing = [chest.label == "heart_failure" for chest in chests]
    return lambda measure: roc_auc_score(failing, [measure(chest) for chest in chests])


def test_films_are_twelve_bit_squares_with_a_spacing(films):
    for film in films:
        assert film.pixels.shape == (64, 64) and film.pixels.dtype == np.uint16
        assert film.pixels.max() <= 4095 and np.ptp(film.pixels) > 3000
        assert 3 < film.pixel_spacing_mm < 9


def test_half_of_a_cohort_has_heart_failure(films):
    assert [film.label for film in films] == ["normal", "heart_failure"] * 3
    assert [film.patient_number for film in films] == list(range(6))


def test_a_patient_looks_the_same_in_a_cohort_of_any_size(films):
    for film in simulate(seed=5, patients=3, size=64):
        np.testing.assert_array_equal(film.pixels, films[film.patient_number].pixels)


def test_another_seed_gives_other_patients(films):
    other = next(simulate(seed=6, patients=1, size=64))

    assert not np.array_equal(other.pixels, films[0].pixels)


def test_an_odd_size_is_made_too():
    assert next(simulate(seed=0, patients=1, size=45)).pixels.shape == (45, 45)


def test_dense_tissue_is_bright(films):
    for film in films:
        belly, lungs = film.pixels[-6:, 20:44], film.pixels[24:36, 10:18]
        assert belly.mean() > 2 * lungs.mean()


def test_no_single_sign_separates_the_groups(auroc):
    for measure in (lambda c: c.cardiothoracic_ratio, lambda c: c.congestion, lambda c: sum(c.effusion)):
        assert 0.7 < auroc(measure) < 0.9


@pytest.mark.parametrize("name", ["half_width", "depth", "field", "quanta", "scatter", "breast", "aorta"])
def test_what_has_nothing_to_do_with_the_heart_tells_nothing(auroc, name):
    assert 0.46 < auroc(lambda c: getattr(c, name)) < 0.54


def test_a_larger_heart_leaves_less_lung(chest):
    assert _lung(replace(chest, cardiothoracic_ratio=0.6)).sum() < 0.97 * _lung(chest).sum()


def test_the_heart_spans_the_ratio_it_was_given(chest):
    size = 256
    narrow, wide = (_lung(replace(chest, cardiothoracic_ratio=ratio), size) for ratio in (1e-3, 0.55))
    shadow = np.flatnonzero((narrow - wide > 1).any(axis=0))
    width = (shadow[-1] - shadow[0] + 1) * chest.field / size

    assert width == pytest.approx(0.55 * 2 * chest.half_width, rel=0.05)


def test_fluid_blunts_the_costophrenic_angle_of_its_side_alone(chest):
    dry, wet = _lung(chest), _lung(replace(chest, effusion=(0.0, 30.0)))
    lost = (dry - wet).clip(min=0)

    assert lost[:, 48:].sum() > 100 * max(lost[:, :48].sum(), 1e-9)  # the patient's left is on the right
    assert lost.sum(axis=1).argmax() > 60  # low down


def test_congestion_clouds_the_hila(chest):
    clear, full = _lung(chest), _lung(replace(chest, congestion=1.0))

    assert full.sum() < 0.97 * clear.sum()


def test_more_photons_make_a_smoother_film(chest):
    def roughness(quanta):
        film = _film(replace(chest, quanta=quanta), 64, np.random.default_rng(0)).astype(float)
        return (film - gaussian_filter(film, 1))[-8:, 20:44].std()

    assert roughness(1e3) > 2 * roughness(1e5)
