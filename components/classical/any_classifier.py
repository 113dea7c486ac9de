"""Loads any trained classifier, neural network or classical, from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from components.classical.classifier import SECTION, load_classical
from components.handover import read_json
from components.handover.names import CONFIG
from components.learning.inference.classifier import load_network_classifier


class Classifier(Protocol):
    """The interface that `NetworkClassifier` and `ClassicalClassifier` share."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # the negative class first
    @property
    def size(self) -> int: ...  # pixels a side
    @property
    def channels(self) -> int: ...
    @property
    def percentiles(self) -> tuple[float, float]: ...  # of an image's values: mapped to 0 and 1
    @property
    def threshold(self) -> float: ...  # an image with this probability or more is positive

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of the positive class, (N,), for `images` (N, channels, size, size) in [0, 1]."""
        ...


def load_any_classifier(folder: Path) -> Classifier:
    """The classifier in `folder`. Raises `StepError` where it holds none."""
    return load_classical(folder) if SECTION in read_json(folder / CONFIG) else load_network_classifier(folder)
