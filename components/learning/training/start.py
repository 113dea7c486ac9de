"""Initial weights of a training: those of another training, or ImageNet's. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from components.handover import LabelledRow, PreparedRow, StepError
from components.handover.names import TRAINED_ON
from components.learning.weights import check_unseen, load_weights


def start_from(network: nn.Module, folder: Path, setting: str, rows: Sequence[PreparedRow | LabelledRow]) -> list[str]:
    """Loads the weights in `folder` into `network`; returns the ids of the images that they were trained on.

    Raises `StepError` where they belong to another network, or were trained on an image that `rows` hold out.
    """
    trained, config = load_weights(folder)
    remedy = f"Keep the seed and the sources they were trained with, or empty {setting}."
    check_unseen(folder, config, [row for row in rows if row.split != "train"], remedy)
    try:
        network.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise StepError(
            f"{setting}: expected weights of the network in params.yaml, found {config['network']} in {folder}. "
            f"Set the network's sizes alike, or empty {setting}."
        ) from error
    return list(config[TRAINED_ON])


def imagenet(network: nn.Module, path: str) -> str:
    """Loads ImageNet weights from `path`, or torchvision's cache where `path` is empty, into a DenseNet-201.

    Returns a description of the start. Without weights in the cache the network keeps its random ones.
    """
    from torchvision.models import DenseNet201_Weights

    name = Path(DenseNet201_Weights.IMAGENET1K_V1.url).name
    weights = Path(path) if path else Path(torch.hub.get_dir()) / "checkpoints" / name
    if not weights.is_file():
        if path:
            raise StepError(f"{path}: expected ImageNet weights, found no file. Correct train.classifier.weights.")
        return f"random weights, because no {name} is in torchvision's cache"
    try:
        network.load_imagenet(torch.load(weights, map_location="cpu", weights_only=True))  # type: ignore[operator]
    except (ValueError, KeyError) as error:
        raise StepError(f"{weights}: {error}") from error
    return f"ImageNet weights in {weights.name}"
