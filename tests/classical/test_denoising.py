from __future__ import annotations

import sys
from types import ModuleType
from typing import get_args

import numpy as np
import pytest

from components.classical.denoising import DENOISERS, denoised
from components.handover import StepError
from components.params.trainings import Denoiser
from tests.drawing import shapes


def noisy(clean: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.clip(clean + random.normal(0, 0.08, clean.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("method", ["nlm", "wavelet"])
def test_a_noisy_image_comes_nearer_to_itself(method: str) -> None:
    clean = shapes(61, 47, seed=2)
    found = denoised(noisy(clean), method)  # type: ignore[arg-type]
    assert found.dtype == np.float32 and found.shape == clean.shape and 0 <= found.min() <= found.max() <= 1
    assert ((found - clean) ** 2).mean() < 0.6 * ((noisy(clean) - clean) ** 2).mean()


def test_without_a_method_an_image_stays_as_it_is() -> None:
    image = noisy(shapes(31, 33, seed=2))
    np.testing.assert_array_equal(denoised(image, "none"), image)


@pytest.mark.parametrize("method", ["none", "nlm", "wavelet"])
def test_an_image_without_noise_or_content_survives(method: str) -> None:
    flat = np.full((33, 29), 0.25, np.float32)
    np.testing.assert_allclose(denoised(flat, method), flat, atol=1e-6)  # type: ignore[arg-type]


def test_bm3d_is_given_the_noise_it_is_to_take_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's licence keeps it out of the environment; what it is asked is tested on one that answers."""
    asked = []
    package = ModuleType("bm3d")
    package.bm3d = lambda image, sigma: asked.append(sigma) or image / 2  # type: ignore[attr-defined, func-returns-value]
    monkeypatch.setitem(sys.modules, "bm3d", package)
    image = noisy(np.full((64, 64), 0.5, np.float32))
    np.testing.assert_allclose(denoised(image, "bm3d"), image / 2)
    assert asked == [pytest.approx(0.08, rel=0.1)]


def test_bm3d_that_is_not_installed_is_named_with_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(
        StepError, match=r"expected the package bm3d.*non-commercial use only.*or choose nlm or wavelet"
    ):
        denoised(shapes(32, 32, seed=0), "bm3d")
    assert {"none", *DENOISERS} == set(get_args(Denoiser))
