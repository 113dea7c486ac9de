from types import SimpleNamespace

import numpy as np
import pytest

from components.adapters import tracking
from components.adapters.pyfunc_model import Network
from components.handover import Layout, read_json, read_record, write_json


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


def test_what_makes_images_takes_labels_and_is_served_as_its_signature_says(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = tracking.restore(project, read_record(project.model("dcgan") / "run.json"))
    served = tracking.connect(project).pyfunc.load_model(f"models:/{record.model_id}")
    images = served.predict(np.array([0, 1, 1]))
    assert images.shape == (3, 1, 32, 32) and images.dtype == np.float32
    np.testing.assert_array_equal(served.predict(np.array([0, 1, 1])), images)


@pytest.mark.parametrize("name", ["classifier", "classical_svm"])
def test_a_reader_of_colour_says_how_many_channels_it_takes(project: Layout, name: str) -> None:
    path = project.model(name) / "config.json"
    config, section = read_json(path), "reading" if name == "classifier" else "classical"
    write_json(path, config | {section: config[section] | {"channels": 3}})
    assert tracking._signature(path.parent).inputs.inputs[0].shape == (-1, 3, -1, -1)
