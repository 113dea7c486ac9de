"""Any trained classifier from its folder, whichever way it reads."""

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
    """What a classifier offers, whether a network reads (`NetworkClassifier`) or not (`ClassicalClassifier`)."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # the negative one first
    @property
    def size(self) -> int: ...  # pixels a side
    @property
    def channels(self) -> int: ...
    @property
    def percentiles(self) -> tuple[float, float]: ...  # of an image: what became 0 and 1
    @property
    def threshold(self) -> float: ...  # of the positive class's probability; from it on an image counts as found

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of the positive class, (N,); `images` are (N, channels, size, size) in [0, 1]."""
        ...


def load_any_classifier(folder: Path) -> Classifier:
    """The classifier in `folder`. Raises `StepError` where it holds none."""
    return load_classical(folder) if SECTION in read_json(folder / CONFIG) else load_network_classifier(folder)
