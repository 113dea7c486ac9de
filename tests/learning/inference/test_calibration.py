import numpy as np
import pytest
import torch

from components.handover import StepError
from components.learning.inference.calibration import temperature_of, threshold_for


def test_logits_that_are_three_times_too_sure_are_cooled_by_three() -> None:
    torch.manual_seed(0)
    honest = torch.randn(4000, 2)
    labels = torch.multinomial(honest.softmax(1), 1)[:, 0]
    assert temperature_of(honest, labels) == pytest.approx(1, abs=0.1)
    assert temperature_of(3 * honest, labels) == pytest.approx(3, abs=0.3)


def test_a_few_images_read_without_error_ask_for_no_absurd_certainty() -> None:
    assert temperature_of(torch.tensor([[4.0, -4.0], [-4.0, 4.0]]), torch.tensor([0, 1])) >= 0.05


def test_the_threshold_finds_the_wanted_share_and_is_the_highest_that_does() -> None:
    truth = np.array([True] * 10 + [False] * 10)
    scores = np.linspace(0.95, 0.0, 20)
    threshold = threshold_for(0.9, truth, scores)
    assert (scores[truth] >= threshold).mean() == 0.9
    assert (scores[truth] >= np.nextafter(threshold, 1)).mean() < 0.9
    with pytest.raises(StepError, match="expected positive cases"):
        threshold_for(0.9, np.zeros(3, bool), np.ones(3))
