"""Unsupervised features: one layer of k-means centroids over whitened patches.

Coates, Lee & Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from components.classical.segmentation import Image

PATCHES = 50_000  # that k-means learns from, over all images
CONTRAST = 10 / 255**2  # added to a patch's variance, so that noise in flat patches is not amplified (section 3.2.1)
WHITENING = 0.1  # added to each eigenvalue


@dataclass(frozen=True)
class Centroids:
    """`centroids` (K, P) of patches of P pixels, from which `mean` (P,) is subtracted before `whitening` (P, P)."""

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]
    centroids: NDArray[np.float64]

    def features(self, image: Image) -> NDArray[np.float64]:
        """Triangle activations of every patch, summed over each quarter of `image` (rows, columns) in [0, 1]: (4 K,).

        A centroid's activation says how much nearer it is than the average centroid (section 3.2.2).
        """
        side = round(len(self.mean) ** 0.5)
        patches = np.lib.stride_tricks.sliding_window_view(image, (side, side))
        halves = [np.array_split(half, 2, 1) for half in np.array_split(patches, 2, 0)]
        # a quarter at a time: of a large image and many centroids, the activations fill the memory
        quarters = (quarter.reshape(-1, side * side) for half in halves for quarter in half)
        return np.concatenate([self._activations(quarter).sum(0) for quarter in quarters])

    def _activations(self, patches: NDArray[np.float32]) -> NDArray[np.float64]:
        white = (_normalised(patches) - self.mean) @ self.whitening
        squared = (white**2).sum(1)[:, None] - 2 * white @ self.centroids.T + (self.centroids**2).sum(1)
        distance = np.sqrt(np.maximum(squared, 0))
        return np.asarray(np.maximum(0, distance.mean(1, keepdims=True) - distance))

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        return {"mean": self.mean, "whitening": self.whitening, "centroids": self.centroids}


def learn_centroids(images: NDArray[np.float32], count: int, patch: int, seed: int) -> Centroids:
    """`count` centroids of random patches, `patch` pixels a side, of `images` (N, rows, columns)."""
    random = np.random.default_rng(seed)
    patches = _normalised(_sample_patches(images, patch, random))
    mean = patches.mean(0)
    whitening = _whitening(patches - mean)
    model = MiniBatchKMeans(count, random_state=seed, batch_size=4096, n_init=3).fit((patches - mean) @ whitening)
    return Centroids(mean, whitening, np.asarray(model.cluster_centers_, np.float64))


def _sample_patches(images: NDArray[np.float32], patch: int, random: np.random.Generator) -> NDArray[np.float32]:
    per_image = -(-PATCHES // len(images))
    samples = []
    for image in images:
        windows = np.lib.stride_tricks.sliding_window_view(image, (patch, patch))
        rows, columns = (random.integers(limit, size=per_image) for limit in windows.shape[:2])
        samples.append(windows[rows, columns].reshape(per_image, -1))
    return np.concatenate(samples)


def _normalised(patches: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = patches.astype(np.float64) - patches.mean(1, keepdims=True)
    return np.asarray(centred / np.sqrt(centred.var(1, keepdims=True) + CONTRAST))


def _whitening(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """ZCA whitening: decorrelates pixels and changes a patch as little as possible."""
    values, vectors = np.linalg.eigh(np.cov(centred, rowvar=False))
    return np.asarray((vectors / np.sqrt(values + WHITENING)) @ vectors.T)
