"""Where the patient is in an image: the mask inside which quality is measured too, because background flatters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter, label, maximum_filter, minimum_filter
from skimage.filters import threshold_multiotsu, threshold_otsu

SMOOTHING = 0.01  # standard deviation of the smoothing, as a share of the shorter side
LEAST_PART = 0.05  # parts smaller than this share of the largest are specks
LEAST_BODY = 0.01  # a mask smaller than this share of the image is no body
FLAT, BRIGHT = 0.02, 0.9  # an unexposed surround varies less than this, and is brighter than that


def body_mask(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The body in `image` (rows, columns) in [0, 1]: what is not dark by Otsu, holes filled, specks dropped.

    A flat bright surround that covers a corner (collimator blades of a radiograph) is not body. True everywhere
    where nothing stands out: a constant image, or bright parts of less than a hundredth of it.
    """
    everything = np.ones(image.shape, bool)
    smooth = gaussian_filter(image, max(SMOOTHING * min(image.shape), 0.5))
    exposed = ~_collimated(image)
    if not exposed.any() or np.ptp(smooth[exposed]) == 0:
        return everything
    bright = (smooth > _darkest(smooth[exposed])) & exposed
    body = _main_parts(np.asarray(binary_fill_holes(bright))) & exposed
    return body if body.mean() >= LEAST_BODY else everything


def _darkest(values: NDArray[np.float32]) -> float:
    """Where the darkest of three classes ends: dim tissue counts as body, which two classes give to the ground."""
    try:
        return float(threshold_multiotsu(values, classes=3)[0])
    except ValueError:  # fewer than three different values
        return float(threshold_otsu(values))


def _collimated(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    flat = (maximum_filter(image, 5) - minimum_filter(image, 5) < FLAT) & (image > BRIGHT)
    parts, _ = label(flat)
    corners = np.unique(parts[:: parts.shape[0] - 1, :: parts.shape[1] - 1])
    touching = np.isin(parts, corners[corners > 0])
    # the flat test loses two pixels at the surround's inner edge; they are still brighter than any body there
    return np.asarray(maximum_filter(touching, 5) & (image > BRIGHT))


def _main_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= LEAST_PART * sizes.max())[parts] & mask)
