import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from components.learning.metrics.image_quality import crop_border, ms_ssim, psnr, similarity_maps, ssim
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


def test_multi_scale_similarity_is_the_published_product_over_five_scales() -> None:
    """Against the formula written out with SciPy's Gaussian, cut where its window leaves the image."""
    estimate, reference = pair(190, 203)

    def mean(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=3.5)[5:-5, 5:-5]

    x, y, wanted = estimate[0, 0].double().numpy(), reference[0, 0].double().numpy(), 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            x, y = (image[: len(image) // 2 * 2, : image.shape[1] // 2 * 2] for image in (x, y))
            x, y = (image.reshape(len(image) // 2, 2, -1, 2).mean((1, 3)) for image in (x, y))
        covariance = mean(x * y) - mean(x) * mean(y)
        structure = (2 * covariance + 9e-4) / (mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2 + 9e-4)
        luminance = (2 * mean(x) * mean(y) + 1e-4) / (mean(x) ** 2 + mean(y) ** 2 + 1e-4)
        wanted *= (structure if scale < 4 else structure * luminance).mean() ** weight
    assert float(ms_ssim(estimate, reference)) == pytest.approx(wanted, abs=1e-6)
    maps = similarity_maps(estimate, reference)
    assert float(ms_ssim(estimate, reference, finest=maps)) == float(ms_ssim(estimate, reference))
    with pytest.raises(ValueError, match="at least 176 pixels"):
        ms_ssim(estimate[..., :175, :], reference[..., :175, :])
