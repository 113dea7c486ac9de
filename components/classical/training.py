"""Trains a classical classifier: the feature extractor, then the head that classifies its features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.classical.centroids import learn_centroids
from components.classical.classifier import ClassicalClassifier, Extractor, measure
from components.classical.deep import Deep
from components.classical.denoising import denoised
from components.classical.fitting import FeatureSet, Fitted, fit
from components.classical.handmade import Handmade
from components.handover import CLASSIFIER, Layout
from components.handover.names import TRAINED_ON
from components.learning.datasets.labelled import LabelledImages, classes_of, load_labelled
from components.learning.inference.calibration import threshold_for
from components.learning.weights import load_weights
from components.params.trainings import ClassicalTraining


@dataclass(frozen=True)
class Data:
    """Training and validation images of a classical classifier."""

    classes: tuple[str, ...]
    training: LabelledImages
    validation: LabelledImages


def load_data(layout: Layout) -> Data:
    """The labelled images of the training and the validation patients."""
    classes = classes_of(layout.classification)
    training, validation = (load_labelled(layout.classification, side, classes) for side in ("train", "validation"))
    return Data(classes, training, validation)


def make_extractor(layout: Layout, settings: ClassicalTraining, data: Data, seed: int) -> tuple[Extractor, list[str]]:
    """The feature extractor, and the ids of the images that it and the head learn from."""
    training_ids = {row.image_id for row in data.training.rows}
    match settings.features:
        case "handmade":
            return Handmade(settings.region), sorted(training_ids)
        case "deep":
            network, config = load_weights(layout.model(CLASSIFIER))
            return Deep(network, config["network"]), sorted(training_ids | set(config[TRAINED_ON]))
        case "centroids":
            grey = data.training.images.numpy().mean(1)
            clean = np.stack([denoised(image, settings.denoise) for image in grey])
            return learn_centroids(clean, settings.centroids, settings.patch_size, seed), sorted(training_ids)
        case _:
            raise ValueError(f"expected handmade, deep or centroids, found {settings.features!r}")


def train(
    data: Data,
    extractor: Extractor,
    settings: ClassicalTraining,
    percentiles: tuple[float, float],
    seed: int,
) -> tuple[Fitted, ClassicalClassifier]:
    """The fitted head and the classifier with it; `percentiles` of an image are mapped to 0 and 1 in `data`."""
    training, validation = (feature_set(extractor, side, settings) for side in (data.training, data.validation))
    fitted = fit(training, validation, settings, seed)
    scores = fitted.head.probabilities(validation.features)
    channels, size = data.training.images.shape[1:3]
    threshold = threshold_for(settings.sensitivity, validation.truth, scores)
    image_format = (data.classes, size, channels, percentiles)
    return fitted, ClassicalClassifier(extractor, fitted.head, *image_format, settings.denoise, threshold)


def feature_set(extractor: Extractor, side: LabelledImages, settings: ClassicalTraining) -> FeatureSet:
    """The features of one split, with the truth and the patient of each image."""
    features = measure(extractor, side.images.numpy(), settings.denoise)
    return FeatureSet(features, side.labels.bool().numpy(), [row.patient_id for row in side.rows])
