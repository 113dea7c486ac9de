"""A trained network as a classifier: images in, calibrated probabilities out, rebuilt from its folder alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.handover import StepError
from components.learning.augmentation import view
from components.learning.weights import load_weights
from components.params.trainings import Augmentation

BATCH = 64


@dataclass(frozen=True)
class InferenceSettings:
    """How a network is asked: what its images are brought to, how often they are looked at, what decides."""

    classes: tuple[str, ...]  # the negative one first
    size: int  # pixels a side
    channels: int
    percentiles: tuple[float, float]  # of an image: what became 0 and 1
    augmentation: Augmentation
    views: int
    seed: int  # of the views
    temperature: float
    threshold: float

    def described(self) -> dict[str, Any]:
        """As `config.json` keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class NetworkClassifier:
    """A network and the settings in which it reads."""

    network: nn.Module
    settings: InferenceSettings

    @property
    def classes(self) -> tuple[str, ...]:
        return self.settings.classes

    @property
    def size(self) -> int:
        return self.settings.size

    @property
    def channels(self) -> int:
        return self.settings.channels

    @property
    def percentiles(self) -> tuple[float, float]:
        return self.settings.percentiles

    @property
    def threshold(self) -> float:
        """Of the positive class's probability; from it on an image counts as found."""
        return self.settings.threshold

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of the positive class, (N,); `images` are (N, channels, size, size) in [0, 1]."""
        device = next(self.network.parameters()).device
        settings = self.settings
        logits = logits_of(
            self.network, torch.from_numpy(images), device, settings.augmentation, settings.views, settings.seed
        )
        return positive(logits, settings.temperature)


def load_network_classifier(folder: Path) -> NetworkClassifier:
    """The classifier in `folder`, on the CPU."""
    return classifier_of(*load_weights(folder), str(folder))


def classifier_of(network: nn.Module, config: dict[str, Any], name: str) -> NetworkClassifier:
    """The classifier that `config` describes. Raises `StepError`, naming `name`, where it describes none."""
    try:
        found = dict(config["reading"])  # the name under which registered versions keep it
        found["augmentation"] = Augmentation(**found["augmentation"])
        found["classes"], found["percentiles"] = tuple(found["classes"]), tuple(found["percentiles"])
        return NetworkClassifier(network, InferenceSettings(**found))
    except (KeyError, TypeError) as error:
        raise StepError(f"{name}: expected the configuration of a classifier; {error}. Train it again.") from error


@torch.inference_mode()
def logits_of(
    network: nn.Module, images: Tensor, device: torch.device, augmentation: Augmentation, views: int, seed: int
) -> Tensor:
    """Logits (N, classes), the mean over `views`, in float32 on the CPU; `images` (N, C, S, S), read in batches."""
    network.eval()
    found = []
    for part in torch.split(images, BATCH):
        seen = part.to(device)
        looks = [network(view(seen, augmentation, number, seed)).float() for number in range(views)]
        found.append(torch.stack(looks).mean(0).cpu())
    return torch.cat(found)


def positive(logits: Tensor, temperature: float) -> NDArray[np.float64]:
    """The positive class's probability, (N,), of logits (N, 2)."""
    probabilities: NDArray[np.float64] = (logits.double() / temperature).softmax(1)[:, 1].numpy()
    return probabilities
