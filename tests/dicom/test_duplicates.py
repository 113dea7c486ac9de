from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import UID

from components.dicom.duplicates import (
    SAME_PIXELS,
    SAME_PLACE,
    SAME_UID,
    Stored,
    duplicates,
    give_uid,
    shared_uids,
    stored,
)
from tests.drawing import dicom, shapes, write_dicom

PICTURE = shapes(40, 48)


def image(tmp_path: Path, name: str, pixels: NDArray[Any] = PICTURE, **changes: Any) -> Stored:
    """An image of one series; its UID and its hash are its name unless `changes` say otherwise."""
    path = tmp_path / f"{name}.npy"
    np.save(path, pixels[None].astype(np.float32))
    told: dict[str, Any] = {"sha256": name, "instance": name, "series": "series", "bits": 12}
    return Stored(path=path, shape=(1, *pixels.shape), **(told | changes))


def noisy(amount: float = 0.02, seed: int = 1) -> NDArray[Any]:
    return PICTURE + amount * np.random.default_rng(seed).standard_normal(PICTURE.shape)


def test_one_uid_is_one_image_and_more_frames_are_kept(tmp_path: Path) -> None:
    single = image(tmp_path, "a", instance="1.2")
    double = Stored(single.path, "b", (2, 40, 48), instance="1.2")
    assert {place: (d.of, d.reason) for place, d in duplicates([single, double]).items()} == {0: (1, SAME_UID)}


@pytest.mark.parametrize(
    "other",
    [{"number": 8}, {"position": (0.0, 0.0, 5.0)}, {"lossy": True, "number": 8}, {"pixels": shapes(40, 48, seed=5)}],
    ids=["number", "position", "lossy", "pixels"],
)
def test_one_uid_on_other_slices_is_told_apart_and_each_gets_its_own(tmp_path: Path, other: dict[str, Any]) -> None:
    first = image(tmp_path, "a", instance="1.2", number=7, position=(0.0, 0.0, 0.0))
    second = image(
        tmp_path, "b", **{"pixels": noisy(), "instance": "1.2", "number": 7, "position": (0.0, 0.0, 0.0)} | other
    )
    alone = image(tmp_path, "c", shapes(40, 48, seed=6), instance="1.3")
    images = [first, second, alone]
    found = duplicates(images)
    assert found == {}
    told_apart = shared_uids(images, found)
    assert set(told_apart) == {0, 1} and len(set(told_apart.values())) == 2
    assert all(uid.startswith("2.25.") and UID(uid).is_valid for uid in told_apart.values())
    assert shared_uids(images[::-1], found) == {2: told_apart[0], 1: told_apart[1]}


def test_of_two_images_under_one_uid_each_keeps_its_own_encodings(tmp_path: Path) -> None:
    images = [
        image(tmp_path, "a", instance="1", number=1),
        image(tmp_path, "b", noisy(), instance="1", number=2),
        image(tmp_path, "c", noisy(0.01), instance="1", number=1, lossy=True),
        image(tmp_path, "d", noisy(), instance="1", number=2, sha256="b"),
    ]
    found = duplicates(images)
    assert {place: duplicate.of for place, duplicate in found.items()} == {2: 0, 3: 1}
    assert set(shared_uids(images, found)) == {0, 1}


def test_a_file_gets_another_uid_and_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = (PICTURE * 999).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", dicom(pixels, "MR"))
    give_uid(path, "2.25.77")
    written = dcmread(path)
    assert written.SOPInstanceUID == written.file_meta.MediaStorageSOPInstanceUID == "2.25.77"
    np.testing.assert_array_equal(written.pixel_array, pixels)


def test_same_pixels_are_one_image_and_the_first_is_kept(tmp_path: Path) -> None:
    found = duplicates([image(tmp_path, "b", sha256="x"), image(tmp_path, "a", sha256="x")])
    assert {place: (d.of, d.reason) for place, d in found.items()} == {1: (0, SAME_PIXELS)}


def test_more_bits_are_kept(tmp_path: Path) -> None:
    found = duplicates([image(tmp_path, "a", instance="1", bits=8), image(tmp_path, "b", instance="1", bits=12)])
    assert list(found) == [0]


@pytest.mark.parametrize(
    "lossy",
    [{"number": 7}, {"number": 9, "sources": ("plain",)}, {"sources": ("original",)}],
    ids=["same number", "made from the other", "made from the same"],
)
def test_a_lossy_twin_is_one_image_and_the_lossless_one_is_kept(tmp_path: Path, lossy: dict[str, Any]) -> None:
    plain = image(tmp_path, "plain", number=7, sources=("original",))
    twin = image(tmp_path, "a twin", noisy(), lossy=True, **lossy)
    assert {place: (d.of, d.reason) for place, d in duplicates([plain, twin]).items()} == {1: (0, SAME_PLACE)}


@pytest.mark.parametrize(
    "neighbour",
    [
        {"number": 8},
        {"number": 8, "position": (0.0, 0.0, 5.0)},
        {"number": 7, "position": (0.0, 0.0, 5.0)},
        {"number": None},
        {"number": 7, "series": "another"},
    ],
    ids=str,
)
def test_slices_that_look_alike_are_not_one_image(tmp_path: Path, neighbour: dict[str, Any]) -> None:
    slices = [
        image(tmp_path, "a", lossy=True, **({"number": 7, "position": (0.0, 0.0, 0.0)})),
        image(tmp_path, "b", noisy(), lossy=True, **neighbour),
    ]
    assert duplicates(slices) == {}


def test_slices_without_numbers_and_positions_are_not_one_image(tmp_path: Path) -> None:
    assert duplicates([image(tmp_path, "a", lossy=True), image(tmp_path, "b", noisy(), lossy=True)]) == {}


def test_lossless_images_with_one_number_are_not_one_image(tmp_path: Path) -> None:
    assert duplicates([image(tmp_path, "a", number=1), image(tmp_path, "b", noisy(), number=1)]) == {}


def test_unlike_images_are_not_twins(tmp_path: Path) -> None:
    unlike = image(tmp_path, "b", shapes(40, 48, seed=5)[::-1], number=1, lossy=True)
    assert duplicates([image(tmp_path, "a", number=1), unlike]) == {}


def test_loss_around_padding_does_not_hide_a_twin(tmp_path: Path) -> None:
    padded, spread = PICTURE.copy(), PICTURE.copy()
    padded[:, :20], spread[:, :20] = PICTURE.min(), -30 + noisy(5)[:, :20]
    found = duplicates([image(tmp_path, "a", padded, number=1), image(tmp_path, "b", spread, number=1, lossy=True)])
    assert list(found) == [1]


def test_a_chain_of_likeness_has_one_image_kept(tmp_path: Path) -> None:
    images = [
        image(tmp_path, "a", instance="1", sha256="x", bits=8),
        image(tmp_path, "b", instance="1", sha256="y", bits=16),
        image(tmp_path, "c", instance="2", sha256="x", bits=8),
    ]
    assert {place: d.of for place, d in duplicates(images).items()} == {0: 1, 2: 1}


def test_a_header_tells_what_is_needed(tmp_path: Path) -> None:
    header = dicom(
        np.zeros((4, 5), np.uint16), "CT", LossyImageCompression="01", InstanceNumber=3, SOPInstanceUID="1.2"
    )
    found = stored(header, tmp_path, "hash", (1, 4, 5))
    assert (found.lossy, found.number, found.instance, found.bits) == (True, 3, "1.2", 16)
    assert found.position == (-64.0, -64.0, 12.5)
    del header.InstanceNumber, header.ImagePositionPatient
    found = stored(header, tmp_path, "hash", (1, 4, 5))
    assert (found.number, found.position) == (None, None)


def test_a_small_lesion_makes_another_slice_of_one_uid(tmp_path: Path) -> None:
    lesion = PICTURE * 4000
    lesion[18:20, 18:20] += 40
    images = [image(tmp_path, "a", PICTURE * 4000, instance="1"), image(tmp_path, "b", lesion, instance="1")]
    assert duplicates(images) == {}


@pytest.mark.parametrize("shift", [1, 2, 4])
def test_one_image_of_less_depth_is_the_same(tmp_path: Path, shift: int) -> None:
    whole = (PICTURE * 4000).round()
    images = [image(tmp_path, "a", whole, instance="1"), image(tmp_path, "b", whole // 2**shift, instance="1")]
    assert list(duplicates(images)) == [1]
