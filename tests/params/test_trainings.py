from __future__ import annotations

from typing import Any

import pytest

from components.params import ParamsError, parse
from tests.settings import content


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"head_steps": 6}, r"classifier\.head_steps: expected less than steps \(6\), found 6"),
        ({"first_layer_rate_factor": 0.0}, r"first_layer_rate_factor: expected above 0, at most 1, found 0\.0"),
        ({"balance": "both"}, "expected one of weights, sampling, none, found 'both'"),
        ({"label_smoothing": 1.5}, "label_smoothing: expected a share from 0 to 1"),
        ({"mixup": -1.0}, "mixup: expected 0 or more"),
        ({"views": 0}, "views: expected 1 or more"),
        ({"size": 28}, "size: expected 32 or more, found 28"),
        ({"size": 27, "network": {"name": "densenet201", "stem": "small"}}, "size: expected 28 or more, found 27"),
        ({"augmentation": {"flip": True}}, r"classifier\.augmentation\.noise: missing"),
    ],
)
def test_settings_of_a_classifier_that_make_no_sense_are_named(change: dict[str, Any], told: str) -> None:
    settings = content()
    settings["quick"]["train"]["classifier"] |= change
    with pytest.raises(ParamsError, match=told):
        parse(settings)


def test_augmentation_knows_its_ranges() -> None:
    settings = content()
    settings["quick"]["train"]["classifier"]["augmentation"] |= {"rotation_degrees": 200, "shift": 2.0}
    with pytest.raises(ParamsError) as refused:
        parse(settings)
    assert "rotation_degrees: expected 0 to 180" in str(refused.value) and "shift: expected a share" in str(
        refused.value
    )
