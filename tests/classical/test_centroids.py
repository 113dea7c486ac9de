from __future__ import annotations

import numpy as np
import pytest

from components.classical.centroids import Centroids, learn_centroids
from tests.drawing import shapes


@pytest.fixture(scope="module")
def learned() -> Centroids:
    return learn_centroids(np.stack([shapes(40, 36, seed=number) for number in range(6)]), 12, 5, 0)


def test_whitened_patches_are_uncorrelated(learned: Centroids) -> None:
    images = np.stack([shapes(40, 36, seed=number) for number in range(6)])
    windows = np.lib.stride_tricks.sliding_window_view(images, (5, 5), (1, 2)).reshape(-1, 25)
    normal = windows - windows.mean(1, keepdims=True)
    normal = normal / np.sqrt(normal.var(1, keepdims=True) + 10 / 255**2)
    covariance = np.cov((normal - learned.mean) @ learned.whitening, rowvar=False)
    before = np.cov(normal, rowvar=False)
    off_diagonal = ~np.eye(25, dtype=bool)
    assert np.abs(covariance[off_diagonal]).max() < 0.2 * np.abs(before[off_diagonal]).max()


def test_features_are_the_triangle_activation_summed_over_quarters(learned: Centroids) -> None:
    image = shapes(19, 23, seed=9)
    wanted = np.zeros((2, 2, 12))
    for row in range(15):
        for column in range(19):
            patch = image[row : row + 5, column : column + 5].ravel().astype(np.float64)
            normal = (patch - patch.mean()) / np.sqrt(patch.var() + 10 / 255**2)
            distance = np.linalg.norm((normal - learned.mean) @ learned.whitening - learned.centroids, axis=1)
            wanted[int(row >= 8), int(column >= 10)] += np.maximum(0, distance.mean() - distance)
    np.testing.assert_allclose(learned.features(image), wanted.ravel(), rtol=1e-5, atol=1e-6)


def test_the_same_seed_learns_the_same(learned: Centroids) -> None:
    images = np.stack([shapes(40, 36, seed=number) for number in range(6)])
    np.testing.assert_array_equal(learn_centroids(images, 12, 5, 0).centroids, learned.centroids)
    assert not np.array_equal(learn_centroids(images, 12, 5, 1).centroids, learned.centroids)
