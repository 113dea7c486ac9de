import numpy as np
import pytest

from components.handover import StepError
from components.sources import dead_leaves as leaves
from tests.settings import small


def test_leaves_are_one_patient_that_there_is_not() -> None:
    items = list(leaves.items("3", small()))
    assert [item.name for item in items] == ["leaves_00000", "leaves_00001", "leaves_00002"]
    assert {(item.patient, item.modality, item.simulated) for item in items} == {("leaves", "OT", True)}
    pixels = items[1].read().pixels
    assert pixels.shape == (1, leaves.SIDE, leaves.SIDE)
    assert not np.array_equal(pixels, items[2].read().pixels)


@pytest.mark.parametrize("place", ["0", "some", "-3"])
def test_how_many_must_be_said(place: str) -> None:
    with pytest.raises(StepError, match=r"expected how many images.*leaves:100"):
        leaves.items(place, small())
