import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from components.learning.metrics import crop_border, psnr, ssim
from tests.drawing import shapes


def pair(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    reference = shapes(rows, columns, seed=1)
    estimate = np.clip(reference + np.random.default_rng(0).normal(0, 0.05, reference.shape), 0, 1)
    return torch.from_numpy(estimate)[None, None], torch.from_numpy(reference)[None, None]


@pytest.mark.parametrize("size", [(33, 47), (64, 64)])
def test_psnr_and_ssim_agree_with_scikit_image(size: tuple[int, int]) -> None:
    estimate, reference = pair(*size)
    x, y = estimate[0, 0].double().numpy(), reference[0, 0].double().numpy()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, similarity = structural_similarity(y, x, full=True, **settings)
    assert float(psnr(estimate, reference)) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1.0), abs=1e-6)
    assert float(ssim(estimate, reference)) == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-6)


def test_each_image_of_a_batch_has_its_own_score() -> None:
    estimate, reference = pair(32, 32)
    both = psnr(torch.cat([estimate, reference]), torch.cat([reference, reference]))
    assert float(both[0]) == pytest.approx(float(psnr(estimate, reference)))
    assert torch.isinf(both[1])


def test_a_mask_keeps_easy_background_out_of_the_score() -> None:
    reference = torch.zeros(1, 1, 40, 40)
    estimate = reference.clone()
    estimate[..., 10:30, 10:30] = 0.1
    body = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    body[..., 10:30, 10:30] = True
    assert float(psnr(estimate, reference, mask=body)) == pytest.approx(20.0, abs=1e-4)
    assert float(psnr(estimate, reference)) == pytest.approx(20.0 + 10 * np.log10(4), abs=1e-4)
    assert float(ssim(estimate, reference, mask=body)) < float(ssim(estimate, reference))


def test_twice_the_data_range_is_six_decibels_more() -> None:
    estimate, reference = pair(32, 32)
    gain = psnr(estimate, reference, data_range=2.0) - psnr(estimate, reference)
    assert float(gain) == pytest.approx(20 * np.log10(2))


def test_an_image_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 11"):
        ssim(torch.zeros(1, 1, 10, 40), torch.zeros(1, 1, 10, 40))


def test_borders_are_cropped_on_all_sides() -> None:
    assert crop_border(torch.zeros(1, 1, 20, 30), 4).shape == (1, 1, 12, 22)
    assert crop_border(torch.zeros(1, 1, 20, 30), 0).shape == (1, 1, 20, 30)
