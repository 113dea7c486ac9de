from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from components.learning.copying import copying


def drawn(count: int, seed: int) -> Tensor:
    """Smooth images of one kind: a few numbers, seen through fixed patterns."""
    patterns = torch.randn(6, 1, 20, 18, generator=torch.Generator().manual_seed(0))
    numbers = torch.rand(count, 6, generator=torch.Generator().manual_seed(seed))
    return torch.einsum("nk,kchw->nchw", numbers, patterns)


TRAINING, HELD_OUT = drawn(80, 1), drawn(40, 2)


def test_a_generator_that_gives_patients_back_is_caught() -> None:
    blurred = TRAINING[:30] + 0.01 * torch.randn(30, 1, 20, 18, generator=torch.Generator().manual_seed(3))
    found = copying(blurred, TRAINING, HELD_OUT)
    assert found.copies.all() and found.z < -5 and found.farther_share == 0
    assert found.nearest.tolist() == list(range(30))


def test_fresh_images_of_the_same_kind_are_not_accused() -> None:
    found = copying(drawn(30, 4), TRAINING, HELD_OUT)
    assert found.copies.sum() <= 2 and abs(found.z) < 2.5


def test_a_single_copy_is_named() -> None:
    made = torch.cat([drawn(10, 5), TRAINING[17:18] * 1.0001])
    found = copying(made, TRAINING, HELD_OUT)
    assert found.copies[-1] and found.nearest[-1] == 17


def test_distances_are_root_mean_squares_and_the_statistic_is_mann_whitneys() -> None:
    made = drawn(9, 6)
    found = copying(made, TRAINING, HELD_OUT)
    wanted = ((made[4] - TRAINING).double() ** 2).mean((1, 2, 3)).sqrt()
    assert found.distances[4] == pytest.approx(float(wanted.min())) and found.nearest[4] == int(wanted.argmin())
    u = mannwhitneyu(found.distances, found.held_out).statistic
    assert found.farther_share == pytest.approx(u / (9 * 40))
    assert found.z == pytest.approx((u - 180) / np.sqrt(9 * 40 * 50 / 12))
