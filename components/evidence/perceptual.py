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

    `path` is torchvision's file `ALEXNET`. An empty `path` means torchvision's cache; `None` is given where the cache
    does not hold it. Raises `StepError` where the file of `path` is missing, or the file is not that network.
    """
    file = Path(path) if path else alexnet_cache()
    if not path and not file.is_file():
        return None
    state = _read(file)
    import lpips

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)  # of torchvision, about the way lpips calls it
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    names = {key: key.split(".", 1)[1] for key in network.net.state_dict()}  # slice1.0.weight is features.0.weight
    missing = [f"features.{name}" for name in names.values() if f"features.{name}" not in state]
    if missing:
        raise StepError(f"{file}: expected torchvision's AlexNet, found no {missing[0]}. See evaluate.lpips_alexnet.")
    network.net.load_state_dict({key: state[f"features.{name}"] for key, name in names.items()})
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
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise StepError(
            f"{path}: expected AlexNet's weights for LPIPS, {error}. See evaluate.lpips_alexnet."
        ) from error
    return state
