from pathlib import Path

import torch

from components.learning.datasets.pairs import load_pairs
from components.learning.inference.upscaling import bicubic_upscale, network_upscale
from components.learning.metrics.image_quality import psnr
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
