import math

import pytest
import torch

from components.learning.training.losses import discriminator_loss, generator_loss, pixel_loss


@pytest.mark.parametrize("relativistic", [True, False])
def test_a_discriminator_that_is_right_loses_less_than_one_that_is_wrong(relativistic: bool) -> None:
    high, low = torch.full((4, 1), 3.0), torch.full((4, 1), -3.0)
    assert discriminator_loss(high, low, relativistic) < discriminator_loss(low, high, relativistic)
    assert generator_loss(low, high, relativistic) < generator_loss(high, low, relativistic)


def test_a_relativistic_judge_who_cannot_tell_loses_log_two() -> None:
    same = torch.zeros(3, 1)
    assert float(discriminator_loss(same, same, True)) == pytest.approx(math.log(2))


def test_only_differences_count_for_a_relativistic_judge() -> None:
    real, generated = torch.randn(5, 1), torch.randn(5, 1)
    moved = discriminator_loss(real + 7, generated + 7, True)
    assert float(moved) == pytest.approx(float(discriminator_loss(real, generated, True)), abs=1e-5)


def test_pixel_losses_are_what_they_are_called() -> None:
    off = torch.full((1, 1, 2, 2), 0.5)
    assert float(pixel_loss(off, torch.zeros_like(off), "mse")) == pytest.approx(0.25)
    assert float(pixel_loss(off, torch.zeros_like(off), "l1")) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="mse or l1"):
        pixel_loss(off, off, "huber")
