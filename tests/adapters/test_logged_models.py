import pytest

from components.adapters import logged_models
from components.handover import Layout, read_json, write_json


@pytest.mark.parametrize("name", ["classifier", "classical_svm"])
def test_a_classifier_of_colour_says_how_many_channels_it_takes(project: Layout, name: str) -> None:
    path = project.model(name) / "config.json"
    config, section = read_json(path), "reading" if name == "classifier" else "classical"
    write_json(path, config | {section: config[section] | {"channels": 3}})
    assert logged_models._signature(path.parent).inputs.inputs[0].shape == (-1, 3, -1, -1)
