"""One batch, shared among micro-batches and among processes: the gradients must be those of the whole."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from components.learning.training.accumulation import GradientAccumulation
from components.learning.training.losses import discriminator_loss, generator_loss
from tests import prepared

pytestmark = pytest.mark.service

PROGRAM = """
import sys
from pathlib import Path
import torch
from tests.learning.training.test_accumulation import gradients, relativistic_gradients
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

strategy = DDPStrategy(process_group_backend="gloo", forward_sync_buffers=False)
fabric = Fabric(accelerator="cpu", devices=2, strategy=strategy)
fabric.launch()
found = {name: gradients(fabric, name, Path(sys.argv[1])) for name in ("srcnn", "rrdb", "classifier")}
found["relativistic"] = relativistic_gradients(fabric)
if fabric.is_global_zero:
    torch.save(found, sys.argv[2])
"""


def gradients(fabric: Fabric, name: str, root: Path, **change: int) -> list[torch.Tensor]:
    """What one step of training `name` on a batch of four leaves in the weights' gradients."""
    from components.handover import Layout
    from components.learning.datasets.labelled import classes_of, load_labelled
    from components.learning.datasets.pairs import load_pairs
    from components.learning.models import build
    from components.learning.training.classifier_phase import ClassifierPhase
    from components.learning.training.patches import Patches
    from components.learning.training.pixel_phase import PixelPhase
    from tests.settings import small

    torch.manual_seed(0)
    settings, layout = small(**{name: {"batch_size": 4, **change}}).train[name], Layout(root)
    if name == "classifier":
        classes = classes_of(layout.classification)
        sides = [load_labelled(layout.classification, side, classes) for side in ("train", "validation")]
        network = _without_batch_norm(build(settings.network, classes=2))
        phase = ClassifierPhase(network, settings, fabric, *sides, seed=0)
    else:
        pairs = load_pairs(layout.super_resolution, "train", 4)
        network = build(settings.network, scale=4)
        phase = PixelPhase(network, settings, fabric, Patches(pairs, 4, 32, 4, 0, fabric.device), pairs)
    phase.step(0)
    return [parameter.grad.clone() for parameter in network.parameters()]


def relativistic_gradients(fabric: Fabric) -> list[torch.Tensor]:
    """Of a discriminator that compares each of its images with the mean of all, four real and four generated ones."""
    torch.manual_seed(0)
    discriminator = fabric.setup_module(nn.Linear(6, 1))
    real, generated = torch.randn(2, 4, 6)
    mine = slice(fabric.global_rank * 4 // fabric.world_size, (fabric.global_rank + 1) * 4 // fabric.world_size)
    mean = GradientAccumulation(fabric, 1).mean
    seen = discriminator(real[mine]), discriminator(generated[mine])
    fabric.backward(discriminator_loss(*seen, True, mean) + 0.3 * generator_loss(*seen, True, mean))
    return [parameter.grad.clone() for parameter in discriminator.parameters()]


def _without_batch_norm(network: nn.Module) -> nn.Module:
    """Batch norm looks at the images of its own process; only on GPUs does torch have one that looks at all."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return network


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    prepared.super_resolution(folder)
    prepared.classification(folder)
    return folder


def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(root: Path, tmp_path: Path) -> None:
    program, result = tmp_path / "two.py", tmp_path / "gradients.pt"
    program.write_text(PROGRAM)
    subprocess.run(
        [sys.executable, str(program), str(root), str(result)], cwd=Path(__file__).parents[3], check=True,
        env=_environment(), timeout=240,
    )  # fmt: skip
    found = torch.load(result)
    alone = Fabric(accelerator="cpu", devices=1)
    for name in ("srcnn", "rrdb", "classifier"):
        torch.testing.assert_close(found[name], gradients(alone, name, root), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found["relativistic"], relativistic_gradients(alone))


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.mark.parametrize("name", ["srcnn", "rrdb", "classifier"])
def test_turns_have_the_gradients_of_a_batch_taken_at_once(root: Path, name: str) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    in_turns, at_once = (gradients(fabric, name, root, accumulate=micro_batches) for micro_batches in (4, 1))
    torch.testing.assert_close(in_turns, at_once, atol=1e-6, rtol=1e-4)
    assert any(float(gradient.abs().max()) > 1e-4 for gradient in at_once)
