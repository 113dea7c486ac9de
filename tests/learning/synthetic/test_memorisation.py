from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from components.learning.synthetic.memorisation import memorisation


def drawn(count: int, seed: int) -> Tensor:
    """Smooth images of one kind: a few numbers, seen through fixed patterns."""
    patterns = torch.randn(6, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    numbers = torch.rand(count, 6, generator=torch.Generator().manual_seed(seed))
    return torch.einsum("nk,kchw->nchw", numbers, patterns)


TRAINING, HELD_OUT = drawn(80, 1), drawn(40, 2)


def test_a_generator_that_gives_patients_back_is_caught() -> None:
    blurred = TRAINING[:30] + 0.01 * torch.randn(30, 1, 20, 20, generator=torch.Generator().manual_seed(3))
    found = memorisation(blurred, TRAINING, HELD_OUT)
    assert found.copies.all() and found.z < -5 and found.farther_share == 0
    assert found.plain.nearest.tolist() == found.moved.nearest.tolist() == list(range(30))


@pytest.mark.parametrize("disguise", ["shifted", "mirrored", "brighter"])
def test_a_disguised_copy_is_caught_all_the_same(disguise: str) -> None:
    made = {
        "shifted": TRAINING[:30].roll((2, -3), (2, 3)),
        "mirrored": TRAINING[:30].flip(-1),
        "brighter": TRAINING[:30] + 0.3,
    }[disguise]
    found = memorisation(made, TRAINING, HELD_OUT)
    assert found.copies.all() and not found.plain.too_near.all()
    assert found.moved.nearest.tolist() == list(range(30))


def test_one_patient_under_two_names_does_not_let_copies_pass() -> None:
    blurred = TRAINING[:30] + 0.01 * torch.randn(30, 1, 20, 20, generator=torch.Generator().manual_seed(3))
    twin = torch.cat([HELD_OUT, TRAINING[50:51]])
    assert memorisation(blurred, TRAINING, twin).copies.all()


def test_fresh_images_of_the_same_kind_are_not_accused() -> None:
    found = memorisation(drawn(30, 4), TRAINING, HELD_OUT)
    assert found.copies.sum() <= 6 and abs(found.z) < 2.5


def test_a_single_copy_is_named() -> None:
    made = torch.cat([drawn(10, 5), TRAINING[17:18] * 1.0001])
    found = memorisation(made, TRAINING, HELD_OUT)
    assert found.copies[-1] and found.plain.nearest[-1] == 17


def test_distances_are_root_mean_squares_and_the_statistic_is_mann_whitneys() -> None:
    made = drawn(9, 6)
    found = memorisation(made, TRAINING, HELD_OUT)
    wanted = ((made[4] - TRAINING).double() ** 2).mean((1, 2, 3)).sqrt()
    assert found.plain.distances[4] == pytest.approx(float(wanted.min())) and found.plain.nearest[4] == int(
        wanted.argmin()
    )
    u = mannwhitneyu(found.plain.distances, found.plain.held_out).statistic
    assert found.farther_share == pytest.approx(u / (9 * 40))
    assert found.z == pytest.approx((u - 180) / np.sqrt(9 * 40 * 50 / 12))
