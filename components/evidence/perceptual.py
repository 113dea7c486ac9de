"""LPIPS, where the weights of the network it looks through are at hand; nothing is fetched."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from components.evidence.measures import Distance
from components.handover import StepError

ALEXNET = "alexnet-owt-7be5be79.pth"  # torchvision's AlexNet_Weights.IMAGENET1K_V1, whose import takes a second


def load_lpips(path: str, device: torch.device) -> Distance | None:
    """LPIPS with AlexNet by its authors' package, whose own weights come with it; takes `(1, 1, H, W)` in [0, 1].

    `path` is torchvision's AlexNet, `ALEXNET`; where it is empty, torchvision's own cache is looked
    into, and `None` says that nothing is there. Raises `StepError` where the file is missing or not that network.
    """
    weights = Path(path) if path else alexnet_cache()
    if not path and not weights.is_file():
        return None
    found = _read(weights)
    import lpips

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)  # of torchvision, about the way lpips calls it
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    own = {key: key.split(".", 1)[1] for key in network.net.state_dict()}  # slice1.0.weight is features.0.weight
    missing = [f"features.{name}" for name in own.values() if f"features.{name}" not in found]
    if missing:
        raise StepError(
            f"{weights}: expected torchvision's AlexNet, found no {missing[0]}. See evaluate.lpips_alexnet."
        )
    network.net.load_state_dict({key: found[f"features.{name}"] for key, name in own.items()})
    network = network.eval().to(device)

    @torch.inference_mode()
    def distance(estimate: Tensor, reference: Tensor) -> float:
        pair = [(2 * image.float() - 1).expand(-1, 3, -1, -1) for image in (estimate, reference)]
        return float(network(*pair))

    return distance


def alexnet_cache() -> Path:
    """Where torchvision would have put its AlexNet weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET


def _read(path: Path) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise StepError(
            f"{path}: expected AlexNet's weights for LPIPS, {error}. See evaluate.lpips_alexnet."
        ) from error
    return found
