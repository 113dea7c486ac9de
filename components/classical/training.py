"""Trains a classical classifier: what measures features, then the head that decides on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.classical.centroids import learn_centroids
from components.classical.classifier import ClassicalClassifier, Extractor, measure
from components.classical.deep import Deep
from components.classical.denoising import denoised
from components.classical.fitting import Fitted, Measured, fit
from components.classical.handmade import Handmade
from components.handover import CLASSIFIER, Layout
from components.learning.datasets.labelled import LabelledImages, classes_of, load_labelled
from components.learning.inference.calibration import threshold_for
from components.learning.weights import TRAINED_ON, load_weights
from components.params.trainings import ClassicalTraining


@dataclass(frozen=True)
class Data:
    """What a classical classifier is trained and calibrated on."""

    classes: tuple[str, ...]
    training: LabelledImages
    validation: LabelledImages


def load_data(layout: Layout) -> Data:
    """The labelled images of the training and the validation patients."""
    classes = classes_of(layout.classification)
    training, validation = (load_labelled(layout.classification, side, classes) for side in ("train", "validation"))
    return Data(classes, training, validation)


def make_extractor(layout: Layout, settings: ClassicalTraining, data: Data, seed: int) -> tuple[Extractor, list[str]]:
    """What measures features, and the images it was learned from, by id; those the head will learn from included."""
    own = {row.image_id for row in data.training.rows}
    match settings.features:
        case "handmade":
            return Handmade(settings.region), sorted(own)
        case "deep":
            network, config = load_weights(layout.model(CLASSIFIER))
            return Deep(network, config["network"]), sorted(own | set(config[TRAINED_ON]))
        case "centroids":
            grey = data.training.images.numpy().mean(1)
            clean = np.stack([denoised(image, settings.denoise) for image in grey])
            return learn_centroids(clean, settings.centroids, settings.patch_size, seed), sorted(own)
        case _:
            raise ValueError(f"no features: {settings.features}")


def train(
    data: Data,
    extractor: Extractor,
    settings: ClassicalTraining,
    percentiles: tuple[float, float],
    seed: int,
) -> tuple[Fitted, ClassicalClassifier]:
    """The head that was fitted, and the classifier it makes; `percentiles` of an image became 0 and 1 in `data`."""
    training, validation = (measured(extractor, side, settings) for side in (data.training, data.validation))
    fitted = fit(training, validation, settings, seed)
    scores = fitted.head.probabilities(validation.features)
    channels, size = data.training.images.shape[1:3]
    threshold = threshold_for(settings.sensitivity, validation.truth, scores)
    about = (data.classes, size, channels, percentiles, settings.denoise, threshold)
    return fitted, ClassicalClassifier(extractor, fitted.head, *about)


def measured(extractor: Extractor, side: LabelledImages, settings: ClassicalTraining) -> Measured:
    """The features of one side of the split."""
    features = measure(extractor, side.images.numpy(), settings.denoise)
    return Measured(features, side.labels.bool().numpy(), [row.patient_id for row in side.rows])
