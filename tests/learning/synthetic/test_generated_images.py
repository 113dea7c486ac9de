from __future__ import annotations

import numpy as np
import pytest
import torch

from components.handover import Layout, StepError
from components.learning.datasets.labelled import LabelledImages, load_labelled
from components.learning.synthetic.generated_images import GeneratedImages, generated_images, with_generated
from components.learning.synthetic.memorisation import Memorisation, Nearness

CLASSES = ("normal", "heart_failure")


def sides(layout: Layout) -> list[LabelledImages]:
    return [load_labelled(layout.classification, side, CLASSES) for side in ("train", "validation")]


def test_a_trained_generator_makes_what_its_settings_ask_for(trained: Layout) -> None:
    generated = generated_images(trained.model("dcgan"), *sides(trained), torch.device("cpu"))
    again = generated_images(trained.model("dcgan"), *sides(trained), torch.device("cpu"))
    assert (
        generated.images.shape == (3, 1, 32, 32) and generated.label == 1 and len(generated.check.plain.distances) == 3
    )
    torch.testing.assert_close(again.images, generated.images, rtol=0, atol=0)


def test_copies_do_not_join_the_patients(trained: Layout) -> None:
    training = sides(trained)[0]
    places, held_out = np.array([0, 1, 2]), np.array([0.1, 0.2])
    near, far = (Nearness(np.array([0.3, middle, 0.4]), places, held_out) for middle in (0.01, 0.5))
    generated = GeneratedImages(torch.rand(3, 1, 32, 32), 1, Memorisation(far, near))
    joined = with_generated(training, generated)
    assert len(joined.images) == len(joined.labels) == len(training.labels) + 2
    torch.testing.assert_close(joined.images[-2:], generated.images[[0, 2]])
    assert joined.labels[-2:].tolist() == [1, 1] and joined.rows == training.rows


def test_a_folder_of_another_training_is_refused(trained: Layout) -> None:
    with pytest.raises(StepError, match="srcnn: expected a training that makes images, found another"):
        generated_images(trained.model("srcnn"), *sides(trained), torch.device("cpu"))
