from __future__ import annotations

import numpy as np
import pytest

from components.classical.any_classifier import load_any_reader
from components.classical.reader import ClassicalReader
from components.handover import Layout, StepError
from components.handover.methods import READERS
from components.learning.inference.classifier import Reader


@pytest.mark.parametrize("name", READERS)
def test_every_reader_answers_alike(trained: Layout, name: str) -> None:
    reader = load_any_reader(trained.model(name))
    assert isinstance(reader, ClassicalReader if name.startswith("classical") else Reader)
    images = np.random.default_rng(0).random((3, 1, reader.size, reader.size)).astype(np.float32)
    assert reader.probabilities(images).shape == (3,)
    assert reader.classes == ("normal", "heart_failure") and reader.channels == 1 and 0 <= reader.threshold <= 1


def test_a_generator_is_no_reader(trained: Layout) -> None:
    with pytest.raises(StepError, match="srcnn: expected the configuration of a reader"):
        load_any_reader(trained.model("srcnn"))
