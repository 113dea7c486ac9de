from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from components import compare_denoising
from components.compare_denoising import noise_removed
from components.handover import Layout, StepError, read_rows
from components.handover.classifier_rows import DenoisingRow
from tests.drawing import shapes
from tests.settings import small


def test_each_method_is_held_against_none_on_the_same_patients(project: Layout) -> None:
    rows = compare_denoising.run(project, small())
    assert read_rows(project.denoising, DenoisingRow) == rows
    none, wavelet = rows
    assert (none.method, none.auroc_gain, none.noise_removed_db) == ("none", 0, 0)
    assert wavelet.method == "wavelet" and wavelet.n == none.n
    assert wavelet.auroc_gain == pytest.approx(wavelet.auroc - none.auroc)


def test_the_noise_that_is_removed_is_measured_in_decibels() -> None:
    images = np.stack([shapes(48, 40, seed=number) for number in range(3)])
    assert noise_removed(images, "none", 0)[0] == 0
    gain, seconds = noise_removed(images, "nlm", 0)
    assert gain > 2 and seconds > 0


def test_a_classifier_to_compare_on_is_needed(trained: Layout) -> None:
    params = small()
    without = replace(params, train={key: one for key, one in params.train.items() if key != "classical_svm"})
    with pytest.raises(StepError, match=r"expected train\.classical_svm with `recipe: classical`, found none"):
        compare_denoising.run(trained, without)
