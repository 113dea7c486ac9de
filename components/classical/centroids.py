"""Features that nobody designed or labelled: one layer of k-means centroids over whitened patches.

Coates, Lee & Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from components.classical.segmentation import Image

PATCHES = 50_000  # to learn from, of all images together
CONTRAST = 10 / 255**2  # added to a patch's variance: noise in flat patches is not blown up (section 3.2.1)
WHITENING = 0.1  # added to each eigenvalue


@dataclass(frozen=True)
class Centroids:
    """`centroids` (K, patch · patch) in the space that `mean` (P,) and `whitening` (P, P) lead to."""

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]
    centroids: NDArray[np.float64]

    def features(self, image: Image) -> NDArray[np.float64]:
        """(4 K,): how much nearer each centroid is than the average one, summed over each quarter of the image.

        The triangle activation of section 3.2.2, on every patch of `image` (rows, columns) in [0, 1].
        """
        side = round(len(self.mean) ** 0.5)
        patches = np.lib.stride_tricks.sliding_window_view(image, (side, side))
        halves = [np.array_split(half, 2, 1) for half in np.array_split(patches, 2, 0)]
        # a quarter at a time: of a large image and many centroids, the activations fill the memory
        quarters = (quarter.reshape(-1, side * side) for half in halves for quarter in half)
        return np.concatenate([self._active(quarter).sum(0) for quarter in quarters])

    def _active(self, patches: NDArray[np.float32]) -> NDArray[np.float64]:
        white = (_normalised(patches) - self.mean) @ self.whitening
        squared = (white**2).sum(1)[:, None] - 2 * white @ self.centroids.T + (self.centroids**2).sum(1)
        distance = np.sqrt(np.maximum(squared, 0))
        return np.asarray(np.maximum(0, distance.mean(1, keepdims=True) - distance))

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        return {"mean": self.mean, "whitening": self.whitening, "centroids": self.centroids}


def learn_centroids(images: NDArray[np.float32], count: int, patch: int, seed: int) -> Centroids:
    """`count` centroids of random patches, `patch` pixels a side, of `images` (N, rows, columns)."""
    random = np.random.default_rng(seed)
    patches = _normalised(_drawn(images, patch, random))
    mean = patches.mean(0)
    whitening = _whitening(patches - mean)
    model = MiniBatchKMeans(count, random_state=seed, batch_size=4096, n_init=3).fit((patches - mean) @ whitening)
    return Centroids(mean, whitening, np.asarray(model.cluster_centers_, np.float64))


def _drawn(images: NDArray[np.float32], patch: int, random: np.random.Generator) -> NDArray[np.float32]:
    each = -(-PATCHES // len(images))
    found = []
    for image in images:
        windows = np.lib.stride_tricks.sliding_window_view(image, (patch, patch))
        rows, columns = (random.integers(limit, size=each) for limit in windows.shape[:2])
        found.append(windows[rows, columns].reshape(each, -1))
    return np.concatenate(found)


def _normalised(patches: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = patches.astype(np.float64) - patches.mean(1, keepdims=True)
    return np.asarray(centred / np.sqrt(centred.var(1, keepdims=True) + CONTRAST))


def _whitening(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """ZCA: as like the patch as a decorrelated one can be."""
    values, vectors = np.linalg.eigh(np.cov(centred, rowvar=False))
    return np.asarray((vectors / np.sqrt(values + WHITENING)) @ vectors.T)
