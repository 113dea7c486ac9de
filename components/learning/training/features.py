"""Features for the content loss: VGG19 as published, or a substitute where its weights are missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from components.learning.weights import load_weights

CONV5_4 = 35  # layers of torchvision's VGG19 up to conv5_4, before its ReLU (arXiv:1809.00219, section 3.3)
SRGAN_WEIGHT = 1 / 12.75**2  # arXiv:1609.04802, section 3.2: SRGAN divides VGG19's features by 12.75, ESRGAN does not
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Features:
    """A fixed map from `(B, 1, H, W)` to features, and a description of its weights' `origin`."""

    extract: Callable[[Tensor], Tensor]
    module: nn.Module
    origin: str
    squared_weight: float = 1.0  # scales their squared distance to the size of a pixel loss


def make_features(source: str, path: str, substitute: str, classifier: Path) -> Features:
    """The features of `source`; without VGG19's weights those of `substitute`, as their `origin` then says.

    Nothing is downloaded. `classifier` is the folder of the trained classifier.
    """
    if source != "vgg19":
        return _SOURCES[source](classifier)
    weights = Path(path) if path else vgg19_cache()
    if weights.is_file():
        return vgg19_features(weights)
    features = _SOURCES[substitute](classifier)
    return replace(features, origin=f"{features.origin}, because no VGG19 weights are at {weights.name}")


def vgg19_cache() -> Path:
    """The path at which torchvision caches its VGG19 weights."""
    from torchvision.models import VGG19_Weights  # a second to import, which few trainings need

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(VGG19_Weights.IMAGENET1K_V1.url).name


def vgg19_features(weights: Path) -> Features:
    """VGG19's conv5_4 before its ReLU; one channel is repeated to three. Raises where `weights` are not VGG19's."""
    from torchvision.models import vgg19

    network = vgg19(weights=None)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    layers = {key: value for key, value in state.items() if key.startswith("features.")}
    network.load_state_dict(layers | {k: v for k, v in network.state_dict().items() if k.startswith("classifier.")})
    return Features(*_vgg(network.features), f"VGG19 conv5_4 from {weights.name}", SRGAN_WEIGHT)


def random_features(_: Path) -> Features:
    """An untrained VGG19: fixed random features, the same in every run."""
    from torchvision.models import vgg19

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(19)
        network = vgg19(weights=None)
    return Features(*_vgg(network.features), "random features", SRGAN_WEIGHT)


def classifier_features(folder: Path) -> Features:
    """The first dense block and transition of the classifier in `folder`."""
    module, _ = load_weights(folder)
    frozen = module.eval().requires_grad_(False)
    return Features(frozen.features, frozen, "features of the trained classifier")  # type: ignore[arg-type]


_SOURCES: dict[str, Callable[[Path], Features]] = {"classifier": classifier_features, "random": random_features}


def _vgg(layers: nn.Sequential) -> tuple[Callable[[Tensor], Tensor], nn.Module]:
    module = layers[:CONV5_4].eval().requires_grad_(False)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

    def extract(image: Tensor) -> Tensor:
        colour = (image.expand(-1, 3, -1, -1) - mean.to(image.device)) / std.to(image.device)
        result: Tensor = module(colour)
        return result

    return extract, module
