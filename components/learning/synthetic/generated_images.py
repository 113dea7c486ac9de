"""Training images of the smaller class from a trained generator, without those that copy a patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from components.handover import StepError
from components.learning.datasets.labelled import LabelledImages
from components.learning.synthetic.memorisation import Memorisation, memorisation
from components.learning.synthetic.sampling import sample_images
from components.learning.weights import load_weights

MAKES = "makes"  # key in a generator's `config.json`: the label, the number of images, the seed of their noise


@dataclass(frozen=True)
class GeneratedImages:
    """All generated images, (N, C, S, S) in [0, 1], of one label, and which of them copy a patient."""

    images: Tensor
    label: int
    check: Memorisation

    @property
    def kept(self) -> Tensor:
        return self.images[torch.from_numpy(~self.check.copies)]


def generated_images(
    folder: Path, training: LabelledImages, validation: LabelledImages, device: torch.device
) -> GeneratedImages:
    """The images of the generator in `folder`. Raises `StepError` where the folder holds another kind of model."""
    network, config = load_weights(folder)
    if MAKES not in config:
        raise StepError(
            f"{folder}: expected a training that makes images, found another. Correct `generated` in params.yaml."
        )
    recipe = config[MAKES]
    labels = torch.full((recipe["images"],), recipe["label"])
    generated = sample_images(network.to(device), labels, recipe["seed"], device)
    images = generated.expand(-1, training.images.shape[1], -1, -1)
    return GeneratedImages(images, recipe["label"], memorisation(images, training.images, validation.images))


def with_generated(training: LabelledImages, generated: GeneratedImages) -> LabelledImages:
    """`training` with the kept `generated` images added; only patients' images have rows."""
    labels = torch.full((len(generated.kept),), generated.label)
    return LabelledImages(
        torch.cat([training.images, generated.kept]), torch.cat([training.labels, labels]), training.rows
    )
