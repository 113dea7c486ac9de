"""Segments the lungs of a chest radiograph by grey values and shape, as regions in which features are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_erosion, binary_fill_holes, binary_opening, gaussian_filter, label
from skimage.filters import sobel, threshold_otsu
from skimage.morphology import disk
from skimage.segmentation import watershed

from components.params.trainings import Region

# lengths are shares of the image's shorter side, depths shares of the way from the body's side to the spine
SMOOTHING = 0.012  # standard deviation
UNEXPOSED = 0.04  # grey value: darker pixels joined to the image's edge are air around the patient
CORE = 0.02  # erosion of the dark region that leaves a lung's seed
WALL, DEEP = 0.1, 0.3  # depth at which a lung begins; depth beyond which its seed lies
CLOSING = 0.03  # radius that closes over ribs and vessels inside a lung
LEAST_LUNG = 0.03  # of the body: a smaller region on one side is no lung
MOST_LUNGS = 0.85  # of the body: a larger region is no pair of lungs

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Thorax:
    """Masks (rows, columns) of one image. `right` is the patient's right lung, on the image's left.

    Where no pair of lungs stands out, `lungs_found` is false and `right` and `left` are the halves of the body.
    """

    body: Mask
    right: Mask
    left: Mask
    lungs_found: bool

    @property
    def lungs(self) -> Mask:
        return np.asarray(self.right | self.left)

    def region(self, name: Region) -> Mask:
        """The mask in which features are measured; for `lungs` that were not found, the body."""
        match name:
            case "whole":
                return np.ones_like(self.body)
            case "body":
                return self.body
            case "lungs":
                return self.lungs
            case _:
                raise ValueError(f"expected whole, body or lungs, found {name!r}")


def segment(image: Image) -> Thorax:
    """The thorax in `image` (rows, columns) in [0, 1], dense tissue bright, the patient upright.

    The seed of each lung is the largest dark part on its side of the brightest column, the spine. From the seeds and
    the chest wall a watershed on the gradient finds the lungs' borders (Beucher & Lantuéjoul 1979).
    """
    smooth = gaussian_filter(image, max(SMOOTHING * min(image.shape), 0.5))
    body = _body(image)
    spine = _spine(smooth, body)
    on_right = np.broadcast_to(np.arange(image.shape[1]) < spine, image.shape)
    right, left = _lungs(smooth, body, on_right)
    if _are_lungs(right, left, body):
        return Thorax(body, right, left, True)
    return Thorax(body, body & on_right, body & ~on_right, False)


def _body(image: Image) -> Mask:
    """All but the unexposed surround, or the whole image where nothing else is left."""
    parts, _ = label(image < UNEXPOSED)
    edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    # opening removes the image's edge, so that a lung which reaches it is closed there
    exposed = binary_opening(~np.isin(parts, edge[edge > 0]))
    body = np.asarray(binary_fill_holes(_largest(exposed)))
    return body if body.any() else np.ones_like(body)


def _spine(smooth: Image, body: Mask) -> int:
    """The column between right and left: the brightest in the middle third of the body."""
    columns = np.flatnonzero(body.any(0))
    first, width = int(columns[0]), int(columns[-1] - columns[0] + 1)
    middle = slice(first + width // 3, first + max(width - width // 3, width // 3 + 1))
    return middle.start + int(np.argmax(smooth[:, middle].mean(0)))


def _lungs(smooth: Image, body: Mask, on_right: Mask) -> tuple[Mask, Mask]:
    values = smooth[body]
    if np.ptp(values) == 0:
        return np.zeros_like(body), np.zeros_like(body)
    dark, depth = (smooth < threshold_otsu(values)) & body, _depth(body, on_right)
    core = binary_erosion(dark, disk(_pixels(CORE, body))) & (depth > DEEP)
    markers = np.where(~dark | (depth < WALL), 3, 0)
    markers[_largest(core & on_right)] = 1
    markers[_largest(core & ~on_right)] = 2
    labels = watershed(sobel(smooth), markers)
    return _closed(labels == 1), _closed(labels == 2)


def _depth(body: Mask, on_right: Mask) -> NDArray[np.float64]:
    """Each pixel's distance from the body's side, in its row, as a share of the distance to the spine."""
    columns, spine = np.arange(body.shape[1]), int(on_right[0].sum())
    first = body.argmax(1)[:, None]
    last = body.shape[1] - 1 - body[:, ::-1].argmax(1)[:, None]
    inwards = np.where(on_right, columns - first, last - columns)
    return np.asarray(inwards / np.maximum(np.where(on_right, spine - first, last - spine), 1))


def _largest(mask: Mask) -> Mask:
    parts, count = label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())


def _are_lungs(right: Mask, left: Mask, body: Mask) -> bool:
    least = min(right.sum(), left.sum())
    return bool(least >= LEAST_LUNG * body.sum() and (right | left).sum() <= MOST_LUNGS * body.sum())


def _closed(mask: Mask) -> Mask:
    radius = _pixels(CLOSING, mask)
    padded = np.pad(mask, radius)  # closing would otherwise erode what touches the image's edge
    closed = binary_closing(padded, disk(radius))[radius:-radius, radius:-radius]
    return np.asarray(binary_fill_holes(closed))


def _pixels(share: float, image: Mask) -> int:
    shorter: int = min(image.shape)
    return max(1, round(share * shorter))
