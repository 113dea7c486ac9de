"""Handcrafted features: grey values, texture and shape of the lungs and the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kurtosis, skew
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern
from skimage.filters import sobel
from skimage.measure import regionprops

from components.classical.segmentation import Image, Mask, Thorax, segment
from components.params.trainings import Region

LEVELS = 16  # grey levels of the co-occurrence matrix
DISTANCES = (1, 2, 4)  # pixels
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
HARALICK = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy")
RADII = (1, 2)  # of local binary patterns, pixels
PERCENTILES = (5, 25, 50, 75, 95)
CELLS = 4  # of the histograms of gradients, along each side of the image
LEVELS_OF_HEART = (0.5, 0.65, 0.8, 0.95)  # heights in the lungs, from their top, where the ratio is measured


@dataclass(frozen=True)
class Handmade:
    """Grey values and texture inside `region`, shape of lungs and body, gradients all over the image."""

    region: Region

    def features(self, image: Image) -> NDArray[np.float64]:
        """(features,) of one image (rows, columns) in [0, 1], the same ones for every image."""
        thorax = segment(image)
        mask = thorax.region(self.region)
        groups = [intensity(image[mask]), intensity(image[thorax.right]) - intensity(image[thorax.left])]
        groups += [texture(image, mask), shape(thorax), gradients(image)]
        return np.nan_to_num(np.concatenate(groups))

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {}


def intensity(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Moments, percentiles and entropy (bits) of the grey values of a region, (N,)."""
    if not len(values):
        return np.zeros(5 + len(PERCENTILES))
    counts = np.histogram(values, 32, (0, 1))[0] / len(values)
    entropy = -np.sum(counts[counts > 0] * np.log2(counts[counts > 0]))
    moments = [values.mean(), values.std(), skew(values), kurtosis(values), entropy]
    return np.concatenate([moments, np.percentile(values, PERCENTILES)])


def texture(image: Image, mask: Mask) -> NDArray[np.float64]:
    """Co-occurrence (Haralick et al. 1973), local binary patterns (Ojala et al. 2002) and edges inside `mask`."""
    edges = sobel(image)[mask]
    strength = [edges.mean(), edges.std(), np.percentile(edges, 90)] if len(edges) else [0.0, 0.0, 0.0]
    return np.concatenate(
        [_co_occurrence(image, mask), *(_patterns(image, mask, radius) for radius in RADII), strength]
    )


def _co_occurrence(image: Image, mask: Mask) -> NDArray[np.float64]:
    """Each property at each distance, the mean over angles; pairs with a pixel outside `mask` do not count."""
    levels = np.where(mask, 1 + np.minimum(image * LEVELS, LEVELS - 1).astype(np.uint8), 0).astype(np.uint8)
    pairs = graycomatrix(levels, DISTANCES, ANGLES, LEVELS + 1, symmetric=True)[1:, 1:].astype(np.float64)
    pairs /= np.maximum(pairs.sum((0, 1), keepdims=True), 1)
    return np.concatenate([graycoprops(pairs, name).mean(1) for name in HARALICK])


def _patterns(image: Image, mask: Mask, radius: int) -> NDArray[np.float64]:
    codes = local_binary_pattern((image * 255).astype(np.uint8), 8, radius, "uniform")[mask]
    return np.asarray(np.bincount(codes.astype(np.int64), minlength=10) / max(len(codes), 1), np.float64)


def shape(thorax: Thorax) -> NDArray[np.float64]:
    """Size, shape and position of each lung, and the cardiothoracic ratio (Danzer 1919) at several heights."""
    body = max(int(thorax.body.sum()), 1)
    areas = [float(thorax.lungs_found), thorax.body.mean(), thorax.right.sum() / body, thorax.left.sum() / body]
    return np.concatenate([areas, _lung_shape(thorax.right), _lung_shape(thorax.left), _heart_width(thorax)])


def _lung_shape(mask: Mask) -> NDArray[np.float64]:
    if not mask.any():
        return np.zeros(7)
    part, (rows, columns) = regionprops(mask.astype(np.uint8))[0], mask.shape
    row, column = part.centroid
    sides = [(part.bbox[2] - part.bbox[0]) / rows, (part.bbox[3] - part.bbox[1]) / columns]
    return np.array([part.solidity, part.eccentricity, part.extent, row / rows, column / columns, *sides])


def _heart_width(thorax: Thorax) -> NDArray[np.float64]:
    """Width between the lungs over their outer width: at each of `LEVELS_OF_HEART`, the mean, the lower half's most."""
    rows = np.flatnonzero(thorax.right.any(1) & thorax.left.any(1))
    if not len(rows):
        return np.zeros(len(LEVELS_OF_HEART) + 2)
    right, left = thorax.right[rows], thorax.left[rows]
    width = right.shape[1]
    inner = left.argmax(1) - (width - right[:, ::-1].argmax(1))
    outer = (width - left[:, ::-1].argmax(1)) - right.argmax(1)
    shares = np.clip(inner / np.maximum(outer, 1), 0, 1)
    heights = (np.array(LEVELS_OF_HEART) * (len(rows) - 1)).astype(np.int64)
    return np.array([*shares[heights], shares.mean(), shares[len(rows) // 2 :].max()])


def gradients(image: Image) -> NDArray[np.float64]:
    """Histograms of oriented gradients in a grid of cells over the whole image (Dalal & Triggs 2005)."""
    cell = (image.shape[0] // CELLS, image.shape[1] // CELLS)
    return np.asarray(hog(image, 8, cell, (1, 1))[: CELLS * CELLS * 8], np.float64)
