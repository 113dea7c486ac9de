"""Finds which stored images are one image under several encodings, and which of them to keep.

Two are one image when they decode to the same pixels; or carry the same SOP Instance UID, at no different position and
no different instance number, and their values correlate; or are lossy twins: in one series, of one shape, at no
different position, one of them compressed with loss, either with the same instance number or with one naming the other
(or both the same third) as its source, and their values correlate. Neighbouring slices correlate too, so likeness alone
never makes a duplicate.

A SOP Instance UID names one image (PS3.5 9). Images of other pixels that carry the same are told apart: all are kept,
each under a UID of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from components.dicom.frames import is_lossy
from components.dicom.read import read_image
from components.handover import Replacing

LEAST_CORRELATION = 0.9  # of images of which one was compressed with loss
LEAST_LOSSLESS = 0.999  # of images that differ in depth at most
MOST_STEPS = 1.01  # between two such, in steps of the one of less depth: rounding, and what a fit adds
SHARED_UID = "kept under a new SOP Instance UID: another image of other pixels had the same one"
Read = Callable[[Path], NDArray[np.float32]]
SAME_UID, SAME_PIXELS, SAME_PLACE = "same SOP Instance UID", "same pixels", "same place in the series"


@dataclass(frozen=True)
class Stored:
    """What tells an image from another. UIDs may be pseudonyms, as long as they are consistent."""

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


def stored(header: Dataset, path: Path, sha256: str, shape: tuple[int, ...]) -> Stored:
    """What `header` tells about the image at `path`."""
    sources = header.get("SourceImageSequence") or []
    position = header.get("ImagePositionPatient")
    number = header.get("InstanceNumber")
    return Stored(
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


def shared_uids(images: Sequence[Stored], found: dict[int, Duplicate]) -> dict[int, str]:
    """For each image to keep whose SOP Instance UID another one to keep has: a UID of its own, by place in `images`.

    `found` is what `duplicates` gave for `images`. The same UID and pixels give the same new UID.
    """
    kept: dict[str, list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        if image.instance and place not in found:
            kept[image.instance].append(place)
    return {
        place: f"2.25.{uuid5(NAMESPACE_OID, images[place].instance + images[place].sha256).int}"  # PS3.5 B.2
        for places in kept.values()
        if len(places) > 1
        for place in places
    }


def give_uid(path: Path, instance: str) -> None:
    """Writes `instance` as the SOP Instance UID of the DICOM file `path`, which ingest has written; nothing else."""
    image = dcmread(path)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    with Replacing(path) as temporary:  # the file may have a second name, in the `data/raw` of the last run
        image.save_as(temporary, enforce_file_format=True)


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
    for first, *others in by_pixels.values():
        yield from ((first, other, SAME_PIXELS) for other in others)
    for group in by_uid.values():
        yield from ((a, b, SAME_UID) for a, b in _of_one_uid(images, group, read))
    for group in by_series.values():
        yield from _lossy_twins(images, group, read)


def _of_one_uid(images: Sequence[Stored], places: Sequence[int], read: Read) -> Iterator[tuple[int, int]]:
    """Pairs of one image each; a place is compared with the first of every image that was told apart before it."""
    firsts: list[int] = []
    for place in places:
        first = next((other for other in firsts if _one_image(images[other], images[place], read)), None)
        if first is None:
            firsts.append(place)
        else:
            yield first, place


def _one_image(one: Stored, other: Stored, read: Read) -> bool:
    """Of two with one UID."""
    if one.sha256 == other.sha256:
        return True
    moved = _differ(one.position, other.position) or _differ(one.number, other.number)
    if moved or one.shape[1:] != other.shape[1:]:
        return False
    return (_alike if one.lossy or other.lossy else _differ_in_depth_alone)(read(one.path), read(other.path))


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


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
        return False  # linked already, or told apart
    if _differ(one.position, other.position):
        return False
    same_number = one.number is not None and one.number == other.number
    related = {*one.sources, one.instance} & {*other.sources, other.instance} - {""}
    return same_number or bool(related)


def _differ_in_depth_alone(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether the values of one image are the other's, scaled and rounded: then none is off by more than one step.

    Neighbouring slices differ in few pixels, by more. Compared are the frames that both have.
    """
    frames = min(len(one), len(other))
    a, b = (pixels[:frames].ravel().astype(np.float64) for pixels in (one, other))
    if _correlation(a, b) < LEAST_LOSSLESS:
        return False
    levels, fine, coarse = min((np.unique(b), a, b), (np.unique(a), b, a), key=lambda pair: len(pair[0]))
    slope = float((fine - fine.mean()) @ (coarse - coarse.mean()) / ((fine - fine.mean()) @ (fine - fine.mean())))
    expected = coarse.mean() + slope * (fine - fine.mean())
    return bool(np.abs(coarse - expected).max() <= MOST_STEPS * np.diff(levels).min())


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether the values correlate, over the frames and the range that both have.

    The range matters because loss spreads padding far below the real values.
    """
    frames = min(len(one), len(other))
    a, b = (pixels[:frames].ravel().astype(np.float64) for pixels in (one, other))
    low, high = max(a.min(), b.min()), min(a.max(), b.max())
    return _correlation(*(np.clip(values, low, max(low, high)) for values in (a, b))) >= LEAST_CORRELATION


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's; 0 where either has one value only."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0
