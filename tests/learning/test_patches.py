from pathlib import Path

import numpy as np
import pytest
import torch

from components.handover import StepError
from components.learning.models.srcnn import enlarge
from components.learning.patches import Patches, load_pairs
from tests import prepared

CPU = torch.device("cpu")


def test_a_step_always_draws_the_same_batch_and_steps_differ(tmp_path: Path) -> None:
    pairs = load_pairs(prepared.super_resolution(tmp_path).super_resolution, "train", 4)
    one, other = (Patches(pairs, 4, 32, 3, seed, CPU) for seed in (1, 1))
    for drawn, again in zip(one.batch(5), other.batch(5), strict=True):
        torch.testing.assert_close(drawn, again)
    assert not torch.equal(one.batch(5)[0], one.batch(6)[0])
    assert not torch.equal(one.batch(5)[0], Patches(pairs, 4, 32, 3, 2, CPU).batch(5)[0])


def test_low_and_high_patches_show_the_same_place_and_turn(tmp_path: Path) -> None:
    pairs = load_pairs(prepared.super_resolution(tmp_path).super_resolution, "train", 4)
    low, high = Patches(pairs, 4, 32, 8, 0, CPU).batch(0)
    assert low.shape == (8, 1, 8, 8) and high.shape == (8, 1, 32, 32)
    assert float((enlarge(low, 4) - high)[..., 8:-8, 8:-8].abs().mean()) < 0.1
    wrong = (enlarge(low, 4) - high.flip(3))[..., 8:-8, 8:-8].abs().mean()
    assert float(wrong) > 1.5 * float((enlarge(low, 4) - high)[..., 8:-8, 8:-8].abs().mean())


def test_an_image_smaller_than_a_patch_is_mirrored_outwards_not_dropped(tmp_path: Path) -> None:
    pairs = load_pairs(prepared.super_resolution(tmp_path, side=24).super_resolution, "train", 4)
    low, high = Patches(pairs, 4, 64, 2, 0, CPU).batch(0)
    assert low.shape[-1] == 16 and high.shape[-1] == 64
    assert np.isfinite(high.numpy()).all()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = prepared.super_resolution(tmp_path, scales=(2,)).super_resolution
    with pytest.raises(StepError, match=r"expected lr_x4.*prepare\.scales"):
        load_pairs(folder, "train", 4)
    with pytest.raises(StepError, match="expected images in the holiday split"):
        load_pairs(folder, "holiday", 2)
