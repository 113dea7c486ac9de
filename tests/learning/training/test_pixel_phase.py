from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from components.learning.datasets.pairs import load_pairs
from components.learning.models import build
from components.learning.training.patches import Patches
from components.learning.training.pixel_phase import PixelPhase, score_on
from tests import prepared
from tests.settings import small


def make(tmp_path: Path, name: str) -> PixelPhase:
    settings = small(**{name: {"ema": 0.0, "learning_rate": 1e-2}}).train[name]
    folder = prepared.super_resolution(tmp_path).super_resolution
    patches = Patches(load_pairs(folder, "train", 4), 4, 32, 4, 0, torch.device("cpu"))
    torch.manual_seed(0)
    network = build(settings.network, scale=4)  # type: ignore[union-attr]
    fabric = Fabric(accelerator="cpu", devices=1)
    return PixelPhase(network, settings, fabric, patches, load_pairs(folder, "validation", 4))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["srcnn", "srresnet", "rrdb"])
def test_every_generator_learns(tmp_path: Path, name: str) -> None:
    phase = make(tmp_path, name)
    before = phase.validate()["validation_psnr_db"]
    for step in range(25):
        phase.step(step)
    assert phase.validate()["validation_psnr_db"] > before + 1


def test_the_last_layer_of_srcnn_learns_ten_times_slower(tmp_path: Path) -> None:
    phase = make(tmp_path, "srcnn")
    rates = [group["lr"] for group in phase.optimisers["generator"].param_groups]
    assert rates[1] == pytest.approx(rates[0] / 10)
    assert sum(len(group["params"]) for group in phase.optimisers["generator"].param_groups) == 6


def test_scoring_other_weights_leaves_a_network_as_it_was(tmp_path: Path) -> None:
    phase = make(tmp_path, "rrdb")
    network = phase.modules["generator"]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    other = {key: torch.zeros_like(value) for key, value in before.items()}
    score_on(network, other, phase._validation, phase._fabric)
    torch.testing.assert_close(network.state_dict(), before)
