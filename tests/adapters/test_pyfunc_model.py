from types import SimpleNamespace

import numpy as np
import pytest

from components.adapters.pyfunc_model import Network
from components.handover import Layout


@pytest.mark.parametrize(("name", "shape"), [("rrdb", (2, 1, 36, 52)), ("classifier", (2, 2))])
def test_generators_give_images_and_the_classifier_probabilities(
    trained: Layout, name: str, shape: tuple[int, ...]
) -> None:
    model = Network()
    model.load_context(SimpleNamespace(artifacts={"model": str(trained.model(name))}))
    height, width = (9, 13) if name == "rrdb" else (32, 32)
    found = model.predict(None, np.random.default_rng(0).random((2, 1, height, width)))
    assert found.shape == shape and found.dtype == np.float32
    if name == "classifier":
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
