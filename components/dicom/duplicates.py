"""Finds which stored images are one image under several encodings, and which of them to keep.

Two are one image when they carry the same SOP Instance UID; or decode to the same pixels; or are lossy twins: in one
series, of one shape, at no different position, one of them compressed with loss, either with the same instance number
or with one naming the other (or both the same third) as its source, and their values correlate. Neighbouring slices
correlate too, so likeness alone never makes a duplicate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from components.dicom.frames import is_lossy
from components.dicom.read import read_image

LEAST_CORRELATION = 0.9
Read = Callable[[Path], NDArray[np.float32]]
SAME_UID, SAME_PIXELS, SAME_PLACE = "same SOP Instance UID", "same pixels", "same place in the series"


@dataclass(frozen=True)
class Stored:
    """What tells an image from another. UIDs may be pseudonyms, as long as they are consistent."""

    name: str
    path: Path
    sha256: str  # of the decoded values
    shape: tuple[int, ...]
    bits: int = 0
    lossy: bool = False
    instance: str = ""
    sources: tuple[str, ...] = ()
    series: str = ""
    number: int | None = None
    position: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Duplicate:
    of: int  # place of the image to keep
    reason: str


def stored(header: Dataset, name: str, path: Path, sha256: str, shape: tuple[int, ...]) -> Stored:
    """What `header` tells about the image at `path`."""
    sources = header.get("SourceImageSequence") or []
    position = header.get("ImagePositionPatient")
    number = header.get("InstanceNumber")
    return Stored(
        name=name,
        path=path,
        sha256=sha256,
        shape=shape,
        bits=int(header.get("BitsStored", 0)),
        lossy=is_lossy(header),
        instance=str(header.get("SOPInstanceUID", "")),
        sources=tuple(str(item.get("ReferencedSOPInstanceUID", "")) for item in sources),
        series=str(header.get("SeriesInstanceUID", "")),
        number=None if number in (None, "") else int(number),
        position=tuple(round(float(value), 3) for value in position) if position else None,
    )


def duplicates(images: Sequence[Stored], read: Read = read_image) -> dict[int, Duplicate]:
    """For each image that another one stands for: which, and why; images are named by their place in `images`.

    Of several, the one kept is lossless, has more frames, more bits, stands first: in this order. `read` gives the
    pixels of the image at a path.
    """
    links: dict[int, dict[int, str]] = defaultdict(dict)
    for a, b, reason in _same(images, read):
        links[a].setdefault(b, reason)
        links[b].setdefault(a, reason)
    found: dict[int, Duplicate] = {}
    seen: set[int] = set()
    for place in sorted(links, key=lambda one: (*_preference(images[one]), one)):
        if place not in seen:
            reached = _reached(place, links)
            seen |= set(reached) | {place}
            found |= {other: Duplicate(place, reason) for other, reason in reached.items()}
    return found


def _preference(image: Stored) -> tuple[bool, int, int]:
    return image.lossy, -image.shape[0], -image.bits


def _reached(start: int, links: dict[int, dict[int, str]]) -> dict[int, str]:
    """Every image linked to `start`, through others too, with the reason of the link it was reached by."""
    reasons: dict[int, str] = {}
    ahead = [start]
    while ahead:
        for other, reason in links[ahead.pop(0)].items():
            if other != start and other not in reasons:
                reasons[other] = reason
                ahead.append(other)
    return reasons


def _same(images: Sequence[Stored], read: Read) -> Iterator[tuple[int, int, str]]:
    by_uid, by_pixels, by_series = defaultdict(list), defaultdict(list), defaultdict(list)
    for place, image in enumerate(images):
        by_pixels[image.sha256].append(place)
        if image.instance:
            by_uid[image.instance].append(place)
        if image.series:
            by_series[image.series, image.shape].append(place)
    for groups, reason in ((by_uid, SAME_UID), (by_pixels, SAME_PIXELS)):
        for first, *others in groups.values():
            yield from ((first, other, reason) for other in others)
    for group in by_series.values():
        yield from _lossy_twins(images, group, read)


def _lossy_twins(images: Sequence[Stored], places: Sequence[int], read: Read) -> Iterator[tuple[int, int, str]]:
    lossy = [place for place in places if images[place].lossy]
    if not lossy:
        return
    for a, b in combinations(places, 2):
        one, other = images[a], images[b]
        if (one.lossy or other.lossy) and _same_place(one, other) and _alike(read(one.path), read(other.path)):
            yield a, b, SAME_PLACE


def _same_place(one: Stored, other: Stored) -> bool:
    if one.sha256 == other.sha256 or one.instance == other.instance:
        return False  # linked already
    if one.position is not None and other.position is not None and one.position != other.position:
        return False
    same_number = one.number is not None and one.number == other.number
    related = {*one.sources, one.instance} & {*other.sources, other.instance} - {""}
    return same_number or bool(related)


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether the values correlate, over the range that both have: loss spreads padding far below the real values."""
    a, b = (pixels.ravel().astype(np.float64) for pixels in (one, other))
    low, high = max(a.min(), b.min()), min(a.max(), b.max())
    a, b = (np.clip(values, low, max(low, high)) for values in (a, b))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return scale > 0 and float(a @ b) / scale >= LEAST_CORRELATION
