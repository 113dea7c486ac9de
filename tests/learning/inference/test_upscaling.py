from pathlib import Path

import torch

from components.learning.metrics import psnr
from components.learning.patches import load_pairs
from components.learning.scoring import bicubic_upscale, held_out_digest, network_upscale
from tests import prepared


def test_a_network_is_scored_as_it_serves(tmp_path: Path) -> None:
    pair = load_pairs(prepared.super_resolution(tmp_path).super_resolution, "test", 4)[0]
    network = torch.nn.Upsample(scale_factor=4)
    tiled = network_upscale(network, 4, torch.device("cpu"))
    torch.testing.assert_close(tiled(pair.low[None]), network(pair.low[None]))
    bicubic, nearest = (
        float(psnr(upscale(pair.low[None]), pair.high[None])) for upscale in (bicubic_upscale(4), tiled)
    )
    assert bicubic > nearest


def test_the_digest_of_held_out_images_changes_with_them_alone(tmp_path: Path) -> None:
    folder = prepared.super_resolution(tmp_path).super_resolution
    before = held_out_digest(folder)
    (folder / f"{0:016x}-0.npz").write_bytes(b"a training image")
    assert held_out_digest(folder) == before
    (folder / f"{6:016x}-0.npz").write_bytes(b"a held-out image")
    assert held_out_digest(folder) != before
