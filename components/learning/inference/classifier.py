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
    """How a network classifies: the format of its images, its test-time views, its temperature and threshold."""

    classes: tuple[str, ...]  # the negative class first
    size: int  # pixels a side
    channels: int
    percentiles: tuple[float, float]  # of an image's values: mapped to 0 and 1
    augmentation: Augmentation
    views: int
    seed: int  # of the views
    temperature: float
    threshold: float

    def described(self) -> dict[str, Any]:
        """As in `config.json`."""
        return asdict(self)


@dataclass(frozen=True)
class NetworkClassifier:
    """A network and its inference settings."""

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
        """An image with this probability of the positive class, or more, is positive."""
        return self.settings.threshold

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of the positive class, (N,), for `images` (N, channels, size, size) in [0, 1]."""
        device = next(self.network.parameters()).device
        settings = self.settings
        logits = logits_of(
            self.network, torch.from_numpy(images), device, settings.augmentation, settings.views, settings.seed
        )
        return positive_probabilities(logits, settings.temperature)


def load_network_classifier(folder: Path) -> NetworkClassifier:
    """The classifier in `folder`, on the CPU."""
    return classifier_of(*load_weights(folder), str(folder))


def classifier_of(network: nn.Module, config: dict[str, Any], name: str) -> NetworkClassifier:
    """The classifier that `config` describes. Raises `StepError`, naming `name`, where there is none."""
    try:
        settings = dict(config["reading"])  # the key in registered versions
        settings["augmentation"] = Augmentation(**settings["augmentation"])
        settings["classes"], settings["percentiles"] = tuple(settings["classes"]), tuple(settings["percentiles"])
        return NetworkClassifier(network, InferenceSettings(**settings))
    except (KeyError, TypeError) as error:
        raise StepError(f"{name}: expected the configuration of a classifier; {error}. Train it again.") from error


@torch.inference_mode()
def logits_of(
    network: nn.Module, images: Tensor, device: torch.device, augmentation: Augmentation, views: int, seed: int
) -> Tensor:
    """Logits (N, classes) of `images` (N, C, S, S), the mean over `views`, in float32 on the CPU; works in batches."""
    network.eval()
    logits = []
    for chunk in torch.split(images, BATCH):
        batch = chunk.to(device)
        view_logits = [network(view(batch, augmentation, number, seed)).float() for number in range(views)]
        logits.append(torch.stack(view_logits).mean(0).cpu())
    return torch.cat(logits)


def positive_probabilities(logits: Tensor, temperature: float) -> NDArray[np.float64]:
    """The probabilities of the positive class, (N,), from logits (N, 2)."""
    probabilities: NDArray[np.float64] = (logits.double() / temperature).softmax(1)[:, 1].numpy()
    return probabilities
