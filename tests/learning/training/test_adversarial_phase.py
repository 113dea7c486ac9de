from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from components.learning.datasets.pairs import load_pairs
from components.learning.models import build
from components.learning.training.adversarial_phase import AdversarialPhase, choose_interpolation, interpolated
from components.learning.training.features import make_features
from components.learning.training.patches import Patches
from tests import prepared
from tests.settings import small

NETWORK = {"name": "rrdb", "channels": 8, "blocks": 1, "growth_channels": 4, "scale": 4}


@pytest.fixture
def phase(tmp_path: Path) -> AdversarialPhase:
    settings = small().train["esrgan"]
    folder = prepared.super_resolution(tmp_path).super_resolution
    patches = Patches(load_pairs(folder, "train", 4), 4, 32, 2, 0, torch.device("cpu"))
    fabric = Fabric(accelerator="cpu", devices=1)
    discriminator = build(settings.discriminator)  # type: ignore[union-attr]
    features = make_features("random", "", "random", tmp_path)
    return AdversarialPhase(
        build(NETWORK),
        discriminator,
        features,
        settings,
        fabric,
        patches,
        load_pairs(folder, "validation", 4),  # type: ignore[arg-type]
    )


def test_both_networks_learn_and_the_features_do_not(phase: AdversarialPhase) -> None:
    before = {name: [p.detach().clone() for p in m.parameters()] for name, m in phase.modules.items()}
    losses = phase.step(0)
    assert set(losses) == {
        "pixel_loss",
        "content_loss",
        "adversarial_loss",
        "generator_loss",
        "discriminator_loss",
    }
    for name, module in phase.modules.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], module.parameters(), strict=True)), name


def test_the_generator_step_leaves_no_gradient_on_the_judge(phase: AdversarialPhase) -> None:
    low, high = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 32, 32)
    phase._improve_generator(phase._wrapped["generator"](low), high)
    assert all(p.grad is None for p in phase.modules["discriminator"].parameters())
    assert all(p.requires_grad for p in phase.modules["discriminator"].parameters())


def test_interpolation_runs_from_one_network_to_the_other() -> None:
    one, other = build(NETWORK).state_dict(), build(NETWORK).state_dict()
    torch.testing.assert_close(interpolated(one, other, 0.0), one)
    torch.testing.assert_close(interpolated(one, other, 1.0), other)
    half = interpolated(one, other, 0.5)["head.weight"]
    torch.testing.assert_close(half, (one["head.weight"] + other["head.weight"]) / 2)


def test_the_sharpest_network_within_the_allowed_cost_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([30.0, 30.1, 30.06, 29.0])
    monkeypatch.setattr(
        "components.learning.training.adversarial_phase.score_on", lambda *_: {"validation_psnr_db": next(scores)}
    )
    settings = small(esrgan={"interpolation": [0.0, 0.1, 0.2, 1.0], "interpolation_cost_db": 0.05}).train["esrgan"]
    state = build(NETWORK).state_dict()
    alpha, tried = choose_interpolation(build(NETWORK), state, state, settings, [], Fabric(accelerator="cpu"))  # type: ignore[arg-type]
    assert alpha == 0.2 and len(tried) == 4
