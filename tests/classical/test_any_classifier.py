from __future__ import annotations

import numpy as np
import pytest

from components.classical.any_classifier import load_any_classifier
from components.classical.classifier import ClassicalClassifier
from components.handover import Layout, StepError
from components.handover.methods import CLASSIFIERS
from components.learning.inference.classifier import NetworkClassifier


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_answers_alike(trained: Layout, name: str) -> None:
    classifier = load_any_classifier(trained.model(name))
    assert isinstance(classifier, ClassicalClassifier if name.startswith("classical") else NetworkClassifier)
    images = np.random.default_rng(0).random((3, 1, classifier.size, classifier.size)).astype(np.float32)
    assert classifier.probabilities(images).shape == (3,)
    assert (
        classifier.classes == ("normal", "heart_failure")
        and classifier.channels == 1
        and 0 <= classifier.threshold <= 1
    )


def test_a_generator_is_no_classifier(trained: Layout) -> None:
    with pytest.raises(StepError, match="srcnn: expected the configuration of a classifier"):
        load_any_classifier(trained.model("srcnn"))
