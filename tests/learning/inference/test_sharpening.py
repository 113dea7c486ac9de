from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from components.imaging.degradation import enlarge
from components.learning.inference import sharpening
from components.learning.inference.generator import Generator
from components.learning.inference.sharpening import Values
from tests.drawing import shapes


def sharpen_grey(*args: Any, **options: Any) -> Values:
    return np.concatenate(list(sharpening.sharpen_grey(*args, **options)))


def sharpen_colour(*args: Any) -> Values:
    return np.concatenate(list(sharpening.sharpen_colour(*args)))


class Bicubic(nn.Module):
    """The enlargement that everything outside the network's range goes through, as a network."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.stack([torch.from_numpy(enlarge(one[0].numpy(), 2))[None] for one in image])


class Brighter(Bicubic):
    """Treats bright and dark differently, as trained networks do."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image) ** 2


def generator(network: nn.Module) -> Generator:
    return Generator(network, 2, "drawn", "1", (0.1, 99.9))


def drawn(rows: int = 45, columns: int = 39, seed: int = 0) -> Values:
    return shapes(rows, columns, seed).astype(np.float64) * 1500 - 1000


def test_values_outside_the_percentile_range_survive() -> None:
    values = drawn()
    values[20, 20], values[8, 30] = 30000, -20000
    sharp = sharpen_grey(values, generator(Bicubic()))
    assert sharp.shape == (90, 78)
    np.testing.assert_allclose(sharp, enlarge(values.astype(np.float32), 2), atol=0.02)
    assert sharp.max() > 20000
    assert sharp.min() < -13000


def test_a_large_image_in_tiles_is_the_same_image() -> None:
    values = drawn(150, 110)
    values[70, 3], values[71, 90] = 30000, -20000  # at the edge of a band
    np.testing.assert_allclose(
        sharpen_grey(values, generator(Bicubic()), tile=48), enlarge(values.astype(np.float32), 2), atol=0.05
    )


def test_a_large_image_comes_in_bands_no_higher_than_a_tile() -> None:
    bands = list(sharpening.sharpen_grey(drawn(150, 110), generator(Bicubic()), tile=48))
    assert len(bands) > 3 and max(len(band) for band in bands) <= 96 and sum(map(len, bands)) == 300


def test_a_mirrored_image_is_shown_to_the_network_as_bright_for_dense() -> None:
    values = drawn()
    plain = sharpen_grey(values, generator(Brighter()))
    np.testing.assert_allclose(sharpen_grey(-values, generator(Brighter()), mirrored=True), -plain, atol=0.02)
    assert np.abs(sharpen_grey(-values, generator(Brighter())) + plain).max() > 10


def test_padding_takes_no_part_in_the_image() -> None:
    values = drawn()
    padding = np.zeros(values.shape, bool)
    padding[:6] = True
    low, lower = (np.where(padding, fill, values) for fill in (-2000.0, -30000.0))
    np.testing.assert_array_equal(
        sharpen_grey(low, generator(Bicubic()), padding=padding),
        sharpen_grey(lower, generator(Bicubic()), padding=padding),
    )
    assert sharpen_grey(lower, generator(Bicubic()), padding=padding).min() > -1500


@pytest.mark.parametrize("value", [0.0, -1024.0, 4e9])
def test_an_image_of_one_value_stays_one_value(value: float) -> None:
    sharp = sharpen_grey(np.full((20, 20), value), generator(Bicubic()))
    np.testing.assert_allclose(sharp, value, atol=1e-3)


def test_colour_of_equal_channels_is_the_grey_image() -> None:
    grey = drawn() / 10 + 120
    sharp = sharpen_colour(np.stack([grey] * 3, axis=-1), generator(Brighter()))
    np.testing.assert_allclose(sharp, sharpen_grey(grey, generator(Brighter()))[..., None].repeat(3, -1), atol=0.01)


def test_only_lightness_goes_through_the_network() -> None:
    values = np.stack([drawn(seed=channel) / 10 + 120 for channel in range(3)], axis=-1)
    sharp = sharpen_colour(values, generator(Brighter()))
    for channel in range(3):
        np.testing.assert_allclose(
            sharp[..., channel] - sharp @ [0.299, 0.587, 0.114],
            enlarge((values[..., channel] - values @ [0.299, 0.587, 0.114]).astype(np.float32), 2),
            atol=0.01,
        )
