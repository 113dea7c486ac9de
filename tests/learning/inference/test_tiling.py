from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from components.handover import Layout
from components.learning.inference import tiling
from components.learning.inference.tiling import sharpen_bands, sharpen_tiled
from components.learning.models import build
from components.learning.weights import load_weights
from tests.drawing import shapes


class Convolutions(nn.Module):
    """Looks four pixels far: two 3x3 convolutions and one 5x5, then sub-pixels."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 5, padding=2), nn.Tanh(),
            nn.Conv2d(4, scale**2, 3, padding=1), nn.PixelShuffle(scale),
        )  # fmt: skip
        self.seen: list[torch.Size] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image.shape)
        return self.body(image)  # type: ignore[no-any-return]


def nearest(scale: int) -> nn.Module:
    return nn.Upsample(scale_factor=scale, mode="nearest")


@pytest.mark.parametrize(("rows", "columns", "scale"), [(97, 61, 2), (40, 131, 4), (33, 32, 3), (70, 70, 1)])
def test_tiles_give_what_the_whole_image_gives_where_the_overlap_covers_the_networks_view(
    rows: int, columns: int, scale: int
) -> None:
    network, image = Convolutions(scale), torch.rand(2, 1, rows, columns)
    with torch.inference_mode():
        whole = network(image)
    tiled = sharpen_tiled(network, image, scale, tile=32, overlap=16, half=False)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


def test_too_small_an_overlap_shows_in_the_result() -> None:
    network, image = Convolutions(2), torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        whole = network(image)
    assert (sharpen_tiled(network, image, 2, tile=32, overlap=0, half=False) - whole).abs().max() > 1e-3


@pytest.mark.parametrize("length", range(16, 120, 7))
def test_no_more_is_computed_twice_than_the_overlaps(length: int) -> None:
    network = Convolutions(2)
    sharpen_tiled(network, torch.rand(1, 1, length, 16), 2, tile=32, overlap=8)
    tiles, side = len(network.seen), network.seen[0][2]
    assert side <= 32 and tiles * side - (length + (tiles - 1) * 8) < max(tiles, 16 * tiles - length)


@pytest.mark.parametrize("overlap", [0, 1, 5, 16, 31])
def test_weights_sum_to_one_at_every_pixel(overlap: int) -> None:
    image = torch.ones(1, 1, 75, 47)
    torch.testing.assert_close(sharpen_tiled(nearest(3), image, 3, 32, overlap), torch.ones(1, 1, 225, 141))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 3), (1, 40), (16, 15)])
def test_an_image_smaller_than_a_tile_comes_out_whole(rows: int, columns: int) -> None:
    image = torch.rand(1, 1, rows, columns)
    torch.testing.assert_close(sharpen_tiled(nearest(2), image, 2, 16, 4), nearest(2)(image))


def test_the_network_never_sees_more_than_one_batch_of_tiles() -> None:
    network = Convolutions(2)
    sharpen_tiled(network, torch.rand(1, 1, 300, 170), 2, tile=48, overlap=8)
    (seen,) = {tuple(size[1:]) for size in network.seen}
    assert seen == (1, 45, 41)  # 8 x 45 - 7 x 8 >= 300, 5 x 41 - 4 x 8 >= 170: no larger than need be
    assert max(size[0] for size in network.seen) == tiling.BATCH["cpu"]


def test_bands_are_the_image_and_no_higher_than_a_tile() -> None:
    network, image = Convolutions(2), torch.rand(2, 1, 131, 70)
    bands = list(sharpen_bands(network, image, 2, tile=32, overlap=8, half=False))
    assert max(band.shape[2] for band in bands) <= 64 and len(bands) == 6
    torch.testing.assert_close(torch.cat(bands, 2), sharpen_tiled(network, image, 2, 32, 8, half=False))


@pytest.mark.parametrize("name", ["srcnn", "srresnet", "rrdb"])
def test_half_precision_moves_no_pixel_by_more_than_is_promised(trained: Layout, name: str) -> None:
    network, _ = load_weights(trained.model(name))
    image = torch.from_numpy(shapes(64, 48))[None, None]
    exact, half = (sharpen_tiled(network, image, 4, half=in_half) for in_half in (False, True))
    assert 0 < float((half - exact).square().mean().sqrt()) < 5e-4


def test_half_precision_is_used_where_the_device_is_fast_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = (
        build({"name": "rrdb", "channels": 8, "blocks": 1, "growth_channels": 4}, scale=2),
        torch.rand(1, 1, 20, 20),
    )
    for fast in (True, False):
        monkeypatch.setattr(tiling, "half_is_fast", lambda device, fast=fast: fast)
        torch.testing.assert_close(
            sharpen_tiled(network, image, 2), sharpen_tiled(network, image, 2, half=fast), atol=0, rtol=0
        )


def test_the_network_is_used_in_evaluation_mode() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nearest(2)).train()
    torch.testing.assert_close(sharpen_tiled(network, torch.ones(1, 1, 20, 20), 2, 16, 4), torch.ones(1, 1, 40, 40))


def test_a_half_precision_network_is_summed_up_in_single_precision() -> None:
    assert sharpen_tiled(Convolutions(2).bfloat16(), torch.rand(1, 1, 40, 40), 2, 32, 8).dtype == torch.float32


def test_a_network_of_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected an output of \(1, 1, 80, 80\)"):
        sharpen_tiled(nearest(2), torch.rand(1, 1, 20, 20), 4, 32, 8)


@pytest.mark.parametrize(("tile", "overlap"), [(8, 2), (32, 32), (32, -1)])
def test_tiles_that_cannot_cover_an_image_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="0 <= overlap < tile"):
        sharpen_tiled(nearest(2), torch.rand(1, 1, 20, 20), 2, tile, overlap)


def test_a_wide_image_takes_flatter_tiles_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "BAND_VALUES", 80 * 200 * 4)
    network, image = Convolutions(2), torch.rand(1, 1, 150, 200)
    with torch.inference_mode():
        whole = network(image)
    network.seen.clear()
    bands = list(sharpen_bands(network, image, 2, tile=128, overlap=32, half=False))
    assert max(shape[2] for shape in network.seen) <= 80 < max(shape[3] for shape in network.seen)
    assert max(band.shape[2] for band in bands) == tiling.ROWS_AT_ONCE * 2
    torch.testing.assert_close(torch.cat(bands, 2), whole, atol=1e-5, rtol=0)
