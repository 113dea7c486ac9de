from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric

from components.handover import LabelledRow
from components.learning.datasets.labelled import LabelledImages
from components.learning.models import build
from components.learning.synthetic.sampling import sample_images
from components.learning.training.generative_phase import GenerativePhase, likeness
from tests.settings import small

CPU = torch.device("cpu")


def labelled(count: int = 48, channels: int = 1) -> LabelledImages:
    """Dark images of one class, bright ones of the other, with a little noise."""
    torch.manual_seed(1)
    labels = torch.arange(count) % 2
    images = (0.15 + 0.6 * labels)[:, None, None, None] + 0.1 * torch.rand(count, channels, 32, 32)
    rows = [
        LabelledRow(image_id=f"{n}", patient_id=f"P{n}", label="normal", split="train", simulated=True)
        for n in range(count)
    ]
    return LabelledImages(images, labels, rows)


def phase_of(images: LabelledImages, **change: object) -> GenerativePhase:
    settings = small(dcgan={"batch_size": 16, "learning_rate": 2e-3, "ema": 0.0, **change}).train["dcgan"]
    torch.manual_seed(0)
    networks = [
        build(one, size=32)
        for one in (settings.network, settings.discriminator)  # type: ignore[union-attr]
    ]
    fabric = Fabric(accelerator="cpu", devices=1)
    return GenerativePhase(*networks, settings, fabric, images, images, 0)  # type: ignore[arg-type]


def test_the_label_comes_to_decide_what_is_made() -> None:
    phase = phase_of(labelled())
    before = phase.validate()["validation_likeness"]
    for step in range(80):
        phase.step(step)
    generator = phase.modules["generator"]
    dark, bright = (sample_images(generator, torch.full((20,), label), 0, CPU).mean() for label in (0, 1))
    assert bright - dark > 0.25
    assert phase.validate()["validation_likeness"] > before


def test_a_step_depends_on_seed_and_step_alone() -> None:
    one, other = (phase_of(labelled()) for _ in range(2))
    for phase in (one, other):
        torch.rand(7 if phase is one else 1)  # whatever else was drawn
        phase.step(0)
        phase.step(1)
    for name, module in one.modules.items():
        for key, value in module.state_dict().items():
            torch.testing.assert_close(other.modules[name].state_dict()[key], value, rtol=0, atol=0)


def test_turns_add_up_to_the_batch() -> None:
    whole, micro_batches = (phase_of(labelled(), accumulate=n).step(3) for n in (1, 4))
    for name, loss in whole.items():
        assert float(micro_batches[name]) == pytest.approx(float(loss), rel=0.3), (
            name
        )  # batch norm sees a quarter at a time


def test_colour_is_learned_from_as_grey() -> None:
    phase = phase_of(labelled(channels=3))
    assert all(loss.isfinite() for loss in phase.step(0).values())
    assert phase.validate()["validation_likeness"] < 0


def test_likeness_is_highest_among_images_of_one_kind() -> None:
    torch.manual_seed(0)
    one, alike = torch.rand(60, 1, 32, 32) * 0.5, torch.rand(50, 1, 32, 32) * 0.5
    assert abs(likeness(one, alike)) < 1e-4
    assert likeness(one, alike + 0.05) < -1e-3 and likeness(one, alike + 0.2) < likeness(one, alike + 0.05)
