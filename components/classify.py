"""Classifies one image file: `medsr classify IN`.

The image is prepared as the training images were: its percentile range becomes [0, 1], and it is padded to a square.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from components.classical.any_classifier import Classifier
from components.dicom.read import read_image
from components.handover import StepError
from components.imaging.geometry import fit_channels, frames_to_take, planes_of
from components.imaging.intensity import padding_of, percentile_range, to_unit
from components.imaging.picture_files import read_pixels
from components.imaging.pictures import save_heat
from components.learning.inference.classifier import NetworkClassifier
from components.learning.inference.gradcam import grad_cam

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True)
class Classified:
    """What a classifier says of one image."""

    source: Path
    label: str  # what the threshold makes of the probability
    positive: str
    probability: float  # of `positive`, calibrated on validation patients
    threshold: float
    model: str
    frame: int  # which was read, from 0: the middle one
    gradcam: Path | None


def classify_file(source: Path, classifier: Classifier, model: str, gradcam: Path | None = None) -> Classified:
    """What `classifier`, which is called `model`, says of `source`; its Grad-CAM is drawn to the file `gradcam`.

    Raises `UnreadableImage` where the file cannot be decoded, `StepError` where the classifier does not take such an
    image or `gradcam` exists.
    """
    if gradcam and gradcam.exists():
        raise StepError(f"{gradcam}: expected no file there yet, found one. Name another place for the picture.")
    if gradcam and not isinstance(classifier, NetworkClassifier):
        raise StepError(f"{model}: expected a network to draw Grad-CAM of, found a classical classifier. Leave it out.")
    image, frame = classifier_input(source, classifier)
    probability = float(classifier.probabilities(image[None])[0])
    if gradcam and isinstance(classifier, NetworkClassifier):
        save_heat(gradcam, image.mean(0), grad_cam(classifier.network, torch.from_numpy(image[None])))
    negative, positive = classifier.classes
    label = positive if probability >= classifier.threshold else negative
    return Classified(source, label, positive, probability, classifier.threshold, model, frame, gradcam)


def classifier_input(source: Path, classifier: Classifier) -> tuple[NDArray[np.float32], int]:
    """The middle frame of `source` as `classifier` takes it, (channels, size, size) in [0, 1], and its number."""
    picture = source.suffix.lower() in PICTURES
    pixels = read_pixels(source, source.name).pixels if picture else read_image(source)
    (frame,) = frames_to_take(len(pixels), 1)
    chosen = pixels[frame]
    if chosen.ndim == 3 and classifier.channels == 1:
        raise StepError(
            f"{source}: expected a grey image, for this classifier knows no colour, found RGB. Convert it first."
        )
    planes = np.stack(planes_of(chosen))
    try:
        low, high = percentile_range(planes, *classifier.percentiles, padding_of(planes))
    except ValueError as error:
        raise StepError(f"{source}: {error}. There is nothing in it to read; choose another image.") from error
    return fit_channels(list(to_unit(planes, low, high)), classifier.size, classifier.channels), frame
