from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components.handover import PreparedRow
from components.learning.datasets.pairs import Pair, load_pairs
from components.learning.models.srcnn import enlarge
from components.learning.training.patches import Patches
from tests import prepared

CPU = torch.device("cpu")
ROW = PreparedRow(
    sample_id="a-0",
    image_id="a",
    frame=0,
    patient_id="P1",
    modality="CT",
    split="train",
    rows=0,
    columns=0,
    low=0.0,
    high=1.0,
    file="a.npz",
)


def pair(rows: int, columns: int, patient: str = "P1", scale: int = 2, value: float | None = None) -> Pair:
    """Every low-resolution pixel has a number of its own, which its high-resolution ones repeat."""
    low = (
        torch.arange(rows * columns).view(1, rows, columns) / 1024
        if value is None
        else torch.full((1, rows, columns), value)
    )
    high = low.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return Pair(replace(ROW, patient_id=patient), low, high, torch.ones_like(high, dtype=torch.bool))


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


def test_patches_are_pieces_of_their_image_in_all_eight_symmetries_and_both_signs() -> None:
    image = pair(7, 9)
    low, high = Patches([image], 2, 8, 200, 0, CPU).batch(0)
    torch.testing.assert_close(low.repeat_interleave(2, 2).repeat_interleave(2, 3), high)
    pieces = {
        tuple(_turned(image.low[0, r : r + 4, c : c + 4], turns, mirror).flatten().tolist()): (turns, mirror)
        for r in range(4) for c in range(6) for turns in range(4) for mirror in (False, True)
    }  # fmt: skip
    seen = set()
    for patch in low[:, 0]:
        inverted = bool(patch.max() > 0.2)
        found = 1 - patch if inverted else patch
        seen.add((*pieces[tuple((found * 1024).round().div(1024).flatten().tolist())], inverted))
    assert len(seen) == 16


def _turned(image: torch.Tensor, turns: int, mirror: bool) -> torch.Tensor:
    turned = torch.rot90(image, turns, (0, 1))
    return turned.flip(1) if mirror else turned


def test_parts_of_a_batch_are_the_batch() -> None:
    patches = Patches([pair(20, 31), pair(8, 8)], 2, 8, 6, 3, CPU)
    whole = patches.batch(4)
    parts = [patches.batch(4, part, 3) for part in range(3)]
    for resolution in (0, 1):
        assert torch.equal(torch.cat([part[resolution] for part in parts]), whole[resolution])
    with pytest.raises(ValueError, match="expected a multiple of 4"):
        patches.batch(0, 0, 4)


def test_many_slices_of_one_patient_do_not_drown_another() -> None:
    slices = [pair(16, 16, "many", value=0.25) for _ in range(100)]
    low, _ = Patches([*slices, pair(16, 16, "one", value=0.5)], 2, 8, 2000, 0, CPU).batch(0)
    share = float((low[:, 0, 0, 0] == 0.5).double().mean())
    assert share == pytest.approx(1 / 11, abs=0.02)  # 1 against sqrt(100)


def test_three_of_four_patches_are_centred_in_the_body() -> None:
    image = pair(40, 40, value=0.25)
    image.low[:, :6, :6] = 0.5
    body = torch.zeros_like(image.body)
    body[:, :12, :12] = True
    low, _ = Patches([replace(image, body=body)], 2, 8, 2000, 0, CPU).batch(0)
    shows = (low == 0.5).flatten(1).any(1).double().mean()  # 0.5 is its own inverse
    anywhere = (6 / 37) ** 2
    assert float(shows) == pytest.approx(0.75 + 0.25 * anywhere, abs=0.04)


def test_an_image_smaller_than_a_patch_is_mirrored_outwards_not_dropped(tmp_path: Path) -> None:
    pairs = load_pairs(prepared.super_resolution(tmp_path, side=24).super_resolution, "train", 4)
    low, high = Patches(pairs, 4, 64, 2, 0, CPU).batch(0)
    assert low.shape[-1] == 16 and high.shape[-1] == 64
    assert np.isfinite(high.numpy()).all()
