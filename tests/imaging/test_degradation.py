"""Low-resolution images: the published bicubic protocol, k-space truncation, blur and noise."""

import numpy as np
import pytest
from PIL import Image

from components.imaging.degradation import NOISE, degrade, enlarge, resize
from tests.drawing import shapes

KINDS = ("bicubic", "kspace", "blur_noise")


def _pillow(image, rows, columns):
    return np.asarray(Image.fromarray(image, mode="F").resize((columns, rows), Image.Resampling.BICUBIC))


def _position(image):
    """Centre of mass, as a share of the height and the width."""
    return [
        float((image.sum(1 - axis) * (np.arange(n) + 0.5) / n).sum() / image.sum())
        for axis, n in enumerate(image.shape)
    ]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_reduction_agrees_with_pillow_inside_the_border(scale):
    image = shapes(15 * scale, 21 * scale)

    ours, theirs = degrade(image, scale, "bicubic", 0), _pillow(image, 15, 21)

    assert ours.shape == (15, 21) and ours.dtype == np.float32
    np.testing.assert_allclose(ours[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=1e-5)  # Pillow does not mirror the border


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_enlargement_agrees_with_pillow_inside_the_border(scale):
    image = shapes(13, 18)

    ours, theirs = enlarge(image, scale), _pillow(image, 13 * scale, 18 * scale)

    edge = 2 * scale
    np.testing.assert_allclose(ours[edge:-edge, edge:-edge], theirs[edge:-edge, edge:-edge], atol=1e-5)


def test_halving_uses_the_weights_of_imresize():
    impulse = np.zeros((32, 32), np.float32)
    impulse[16] = 1

    column = degrade(impulse, 2, "bicubic", 0)[:, 8]

    # Keys' kernel at 7/4, 3/4, 1/4 and 5/4, halved: how MATLAB's imresize(x, 0.5) weighs that pixel
    np.testing.assert_allclose(column[6:10] * 2, [-0.0234375, 0.2265625, 0.8671875, -0.0703125], atol=1e-7)


def test_the_border_is_mirrored_with_its_own_pixel_repeated():
    image = shapes(24, 16)
    mirrored = np.concatenate([image[::-1], image, image[::-1]])

    np.testing.assert_allclose(degrade(image, 4, "bicubic", 0), degrade(mirrored, 4, "bicubic", 0)[6:12], atol=1e-6)


@pytest.mark.parametrize("kind", ["bicubic", "kspace"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_constant_stays_what_it_is(kind, scale):
    image = np.full((24, 48), 0.37, np.float32)

    np.testing.assert_allclose(degrade(image, scale, kind, 0), 0.37, atol=1e-6)
    np.testing.assert_allclose(enlarge(image, scale), 0.37, atol=1e-6)


@pytest.mark.parametrize("kind", ["bicubic", "kspace"])
def test_a_mirrored_image_gives_a_mirrored_result(kind):
    image = shapes(40, 36)

    np.testing.assert_allclose(degrade(image[:, ::-1], 4, kind, 0), degrade(image, 4, kind, 0)[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_moves(kind):
    y, x = np.mgrid[0:64, 0:48]
    blob = np.exp(-((y - 29.3) ** 2 + (x - 20.8) ** 2) / 60).astype(np.float32)

    low = degrade(blob, 4, kind, 0)

    np.testing.assert_allclose(_position(np.clip(low, 0.05, 1) - 0.05), _position(blob), atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_an_inverted_image_gives_an_inverted_result_so_augmentation_may_invert_pairs(kind):
    image, quiet = shapes(32, 32), 8 * NOISE if kind == "blur_noise" else 1e-5

    np.testing.assert_allclose(degrade(1 - image, 4, kind, 1), 1 - degrade(image, 4, kind, 1), atol=quiet)


@pytest.mark.parametrize("kind", KINDS)
def test_enlarging_what_was_reduced_comes_back_near_the_image(kind):
    image = shapes(96, 80)

    error = enlarge(degrade(image, 2, kind, 0), 2) - image

    assert np.sqrt((error**2).mean()) < 0.08


def test_truncation_keeps_low_frequencies_exactly_and_drops_high_ones():
    x = (np.arange(64) + 0.5) / 64
    slow, fast = np.cos(2 * np.pi * 3 * x), np.cos(2 * np.pi * 20 * x)
    image = np.broadcast_to(0.5 + 0.2 * slow + 0.2 * fast, (32, 64)).astype(np.float32)

    low = degrade(image, 4, "kspace", 0)

    there = (np.arange(16) + 0.5) / 16
    np.testing.assert_allclose(low, np.broadcast_to(0.5 + 0.2 * np.cos(2 * np.pi * 3 * there), (8, 16)), atol=1e-5)


def test_noise_has_its_size_and_depends_on_the_seed_alone():
    image = np.full((256, 256), 0.5, np.float32)

    one, again, other = (degrade(image, 2, "blur_noise", seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert abs(one.std() - NOISE) < 0.1 * NOISE


def test_overshoot_at_edges_is_kept():
    edge = np.zeros((32, 32), np.float32)
    edge[:, 16:] = 1

    low = degrade(edge, 2, "bicubic", 0)

    assert low.min() < -0.01 and low.max() > 1.01


def test_any_size_can_be_asked_for():
    image = shapes(37, 53)

    assert resize(image, 11, 64).shape == (11, 64)
    np.testing.assert_allclose(resize(image, 37, 53), image, atol=1e-6)


@pytest.mark.parametrize("shape", [(33, 32), (32, 30), (8, 8, 8)])
def test_sides_that_are_no_multiple_are_refused(shape):
    with pytest.raises(ValueError, match="multiple of 4"):
        degrade(np.zeros(shape, np.float32), 4, "bicubic", 0)


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match="nearest"):
        degrade(np.zeros((8, 8), np.float32), 2, "nearest", 0)
