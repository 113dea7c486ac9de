"""basicsr from the package index: installed beside this file, made importable, and built in our sizes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import rgb_to_grayscale

from components.handover import StepError
from components.params.trainings import PixelTraining

VERSION = "1.4.2"
FOLDER = Path(__file__).parent / ".basicsr"
GONE = "torchvision.transforms.functional_tensor"  # basicsr imports one function of it, torchvision has moved it
FILES_ONLY = ("cv2", "lmdb")  # basicsr imports them for image files and databases; nothing timed here touches either


class _Untouched(ModuleType):
    """Stands in for a package that is imported and never used: using it is an error, not a silent nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise StepError(f"{self.__name__}.{name}: expected basicsr's networks and loop to need no {self.__name__}")


@dataclass(frozen=True)
class Toolbox:
    """The two classes of basicsr that are measured."""

    network: type[nn.Module]  # basicsr.archs.rrdbnet_arch.RRDBNet
    loop: type[Any]  # basicsr.models.sr_model.SRModel

    def build(self, settings: PixelTraining) -> nn.Module:
        """Their RRDBNet in the sizes of `settings`, one channel in and out."""
        return self.network(**_sizes(settings))


def ready() -> Toolbox:
    """basicsr, installed if it is not yet there. Raises `StepError` where it cannot be."""
    install(FOLDER, "basicsr", f"basicsr=={VERSION}")
    _bridge()
    sys.path.append(str(FOLDER))
    networks = importlib.import_module("basicsr.archs.rrdbnet_arch")
    loops = importlib.import_module("basicsr.models.sr_model")
    return Toolbox(networks.RRDBNet, loops.SRModel)


def install(folder: Path, module: str, *packages: str) -> None:
    """Installs `packages` into `folder`, unless `module` is there already. Raises `StepError` where that fails.

    Their own folder, without their dependencies, leaves the project's environment as locked.
    """
    if (folder / module).is_dir():
        return
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--target", str(folder), "--no-deps", "--no-build-isolation", *packages]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise StepError(f"{', '.join(packages)}: expected from the package index, got: {process.stderr.strip()}")


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Gives `target` the weights of `source`: layers stand in the same order in both, under other names."""
    with torch.no_grad():
        for theirs, ours in zip(source.parameters(), target.parameters(), strict=True):
            if theirs.shape != ours.shape:
                raise StepError(f"expected layers of one order and size, found {theirs.shape} and {ours.shape}")
            ours.copy_(theirs)


class BasicSRLoop:
    """Their training, as `basicsr/train.py` drives it, on batches that already lie in the device's memory.

    Left out, in their favour: reading and cutting images, and the schedule's update of the rate.
    """

    def __init__(
        self, toolbox: Toolbox, settings: PixelTraining, batches: list[tuple[Tensor, Tensor]], device: torch.device
    ) -> None:
        self.model = toolbox.loop(_options(settings, device))
        self.network: nn.Module = self.model.net_g
        self._batches = [{"lq": low, "gt": high} for low, high in batches]

    def step(self, step: int) -> float:
        """Takes step number `step` and gives its loss, which their loop reads from the device at every step."""
        self.model.feed_data(self._batches[step % len(self._batches)])
        self.model.optimize_parameters(step)
        return float(self.model.log_dict["l_pix"])


def _sizes(settings: PixelTraining) -> dict[str, int]:
    sizes = settings.network
    return {
        "num_in_ch": 1,
        "num_out_ch": 1,
        "scale": settings.scale,
        "num_feat": sizes["channels"],
        "num_block": sizes["blocks"],
        "num_grow_ch": sizes["growth_channels"],
    }


def _options(settings: PixelTraining, device: torch.device) -> dict[str, Any]:
    return {
        "num_gpu": int(device.type == "cuda"),
        "is_train": True,
        "dist": False,
        "path": {},
        "network_g": {"type": "RRDBNet", **_sizes(settings)},
        "train": {
            "ema_decay": settings.ema,
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
            "optim_g": {
                "type": "Adam",
                "lr": settings.learning_rate,
                "weight_decay": 0,
                "betas": [0.9, settings.beta2],
            },
            "scheduler": {"type": "MultiStepLR", "milestones": [settings.steps]},
        },
    }


def _bridge() -> None:
    """Supplies modules that basicsr imports and that are gone: `distutils` left Python in 3.12, setuptools has it."""
    importlib.import_module("setuptools")
    moved = ModuleType(GONE)
    moved.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules.setdefault(GONE, moved)
    for name in FILES_ONLY:
        sys.modules.setdefault(name, _Untouched(name))
