from __future__ import annotations

import numpy as np
import pytest

from components.classical.classifier import measure
from components.classical.training import feature_set, load_data, make_extractor, train
from components.handover import Layout
from components.handover.methods import CLASSICAL
from components.learning.metrics.ranking import auroc
from components.params.trainings import ClassicalTraining
from tests import prepared
from tests.settings import small


def settings_of(name: str, **change: object) -> ClassicalTraining:
    settings = small(**{name: change}).train[name]
    assert isinstance(settings, ClassicalTraining)
    return settings


@pytest.mark.parametrize("name", ["classical_svm", "classical_kmeans"])
def test_a_bright_disc_is_found(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    layout = prepared.classification(tmp_path_factory.mktemp("discs"), patients=64)
    settings, data = settings_of(name), load_data(layout)
    extractor, seen = make_extractor(layout, settings, data, 0)
    assert seen == sorted(row.image_id for row in data.training.rows)
    fitted, classifier = train(data, extractor, settings, (0.1, 99.9), 0)
    validation = feature_set(extractor, data.validation, settings)
    assert auroc(validation.truth, fitted.head.probabilities(validation.features)) > 0.9
    positives = fitted.head.probabilities(validation.features)[validation.truth]
    assert (positives >= classifier.threshold).mean() >= settings.sensitivity


def test_deep_features_remember_what_their_network_saw(trained: Layout) -> None:
    data = load_data(trained)
    extractor, seen = make_extractor(trained, settings_of("classical_deep"), data, 0)
    assert set(seen) >= {row.image_id for row in data.training.rows}
    assert measure(extractor, data.validation.images.numpy()[:2], "none").shape[0] == 2


def test_centroids_are_learned_from_denoised_images(trained: Layout) -> None:
    data = load_data(trained)
    plain, clean = (
        make_extractor(trained, settings_of("classical_kmeans", denoise=method), data, 0)[0].tensors()["mean"]
        for method in ("none", "nlm")
    )
    assert not np.array_equal(plain, clean)


def test_every_classical_classifier_has_its_settings() -> None:
    assert all(isinstance(small().train[name], ClassicalTraining) for name in CLASSICAL)
