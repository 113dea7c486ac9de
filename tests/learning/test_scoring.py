from pathlib import Path

import pytest
import torch

from components.learning.patches import load_pairs
from components.learning.scoring import bicubic_upscale, held_out_digest, network_upscale, score
from tests import prepared


def test_a_perfect_image_is_perfect_and_its_border_does_not_count(tmp_path: Path) -> None:
    pair = load_pairs(prepared.super_resolution(tmp_path).super_resolution, "test", 4)[0]
    spoiled = pair.high[None].clone()
    spoiled[..., :4, :] = 1 - spoiled[..., :4, :]
    result, estimate = score(lambda _: spoiled, pair, 4)
    assert result.psnr_db == float("inf") and result.ssim == pytest.approx(1) and result.ssim_body == pytest.approx(1)
    assert estimate.shape[-2:] == pair.high.shape[-2:]


def test_estimates_are_clipped_to_the_range_before_they_are_scored(tmp_path: Path) -> None:
    pair = load_pairs(prepared.super_resolution(tmp_path).super_resolution, "test", 4)[0]
    result, _ = score(lambda _: torch.where(pair.high == 1, 5.0, pair.high)[None], pair, 4)
    assert result.psnr_db == float("inf")


def test_a_network_is_scored_as_it_serves(tmp_path: Path) -> None:
    pair = load_pairs(prepared.super_resolution(tmp_path).super_resolution, "test", 4)[0]
    network = torch.nn.Upsample(scale_factor=4)
    tiled = network_upscale(network, 4, torch.device("cpu"))
    torch.testing.assert_close(tiled(pair.low[None]), network(pair.low[None]))
    assert score(bicubic_upscale(4), pair, 4)[0].psnr_db > score(tiled, pair, 4)[0].psnr_db


def test_the_digest_of_held_out_images_changes_with_them_alone(tmp_path: Path) -> None:
    folder = prepared.super_resolution(tmp_path).super_resolution
    before = held_out_digest(folder)
    (folder / f"{0:016x}-0.npz").write_bytes(b"a training image")
    assert held_out_digest(folder) == before
    (folder / f"{6:016x}-0.npz").write_bytes(b"a held-out image")
    assert held_out_digest(folder) != before
