from pathlib import Path

import pytest

from components.handover import StepError
from components.learning.datasets.pairs import held_out_digest, load_pairs
from tests import prepared


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = prepared.super_resolution(tmp_path, scales=(2,)).super_resolution
    with pytest.raises(StepError, match=r"expected lr_x4.*prepare\.scales"):
        load_pairs(folder, "train", 4)
    with pytest.raises(StepError, match="expected images in the holiday split"):
        load_pairs(folder, "holiday", 2)


def test_the_digest_of_held_out_images_changes_with_them_alone(tmp_path: Path) -> None:
    folder = prepared.super_resolution(tmp_path).super_resolution
    before = held_out_digest(folder)
    (folder / f"{0:016x}-0.npz").write_bytes(b"a training image")
    assert held_out_digest(folder) == before
    (folder / f"{6:016x}-0.npz").write_bytes(b"a held-out image")
    assert held_out_digest(folder) != before
