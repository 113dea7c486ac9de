from dataclasses import asdict, fields

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from components.evidence.compared_methods import Method, bicubic_method
from components.evidence.measures import DEFINITIONS, Measured, measure
from components.evidence.spectrum import beyond
from components.handover.sr_rows import SampleScore
from components.imaging.degradation import Kind
from components.learning.datasets.pairs import Pair
from tests.evidence import drawn


def of(contestant: Method, pair: Pair, degradation: Kind = "bicubic") -> Measured:
    return measure(contestant.sharpen(pair).clamp(0, 1), pair, drawn.SCALE, degradation)[0]


def test_every_measure_is_defined_and_has_a_column() -> None:
    assert {field.name for field in fields(Measured)} == set(DEFINITIONS)
    assert set(DEFINITIONS) <= {field.name for field in fields(SampleScore)}


@pytest.mark.parametrize("size", [(96, 120), (97 * 4, 53 * 4)])
def test_psnr_and_ssim_are_those_of_scikit_image(size: tuple[int, int]) -> None:
    pair = drawn.pair(*size)
    score, estimate = of(bicubic_method(4), pair), bicubic_method(4).sharpen(pair).clamp(0, 1)
    x, y = (image.double().numpy()[4:-4, 4:-4] for image in (estimate[0, 0], pair.high[0]))
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, similarity = structural_similarity(y, x, full=True, **settings)
    assert score.psnr_db == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1.0), abs=1e-6)
    assert score.ssim == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-6)


def test_a_perfect_image_is_perfect_by_every_measure_and_its_border_does_not_count() -> None:
    pair = drawn.pair(192, 200)
    spoiled = pair.high[None].clone()
    spoiled[..., :4, :] = 1 - spoiled[..., :4, :]
    score = measure(spoiled, pair, 4, "bicubic")[0]
    assert score.psnr_db == score.psnr_body_db == float("inf") and score.ssim == pytest.approx(1)
    assert score.ssim_body == pytest.approx(1) and score.ms_ssim == pytest.approx(1)
    assert (
        score.edge_error == score.error_low == score.error_middle == score.error_beyond == score.error_beyond_worst == 0
    )
    assert score.energy_beyond == pytest.approx(1)


def test_methods_measured_together_are_measured_as_alone() -> None:
    pair = drawn.pair()
    images = torch.cat([method.sharpen(pair) for method in (bicubic_method(4), drawn.honest())]).clamp(0, 1)
    both = measure(images, pair, 4, "bicubic")
    assert asdict(both[1]) == asdict(measure(images[1:], pair, 4, "bicubic")[0])


def test_multi_scale_similarity_is_left_empty_where_it_is_not_defined() -> None:
    assert of(bicubic_method(4), drawn.pair(180, 184)).ms_ssim is None  # 172 and 176 pixels are left inside the border
    assert of(bicubic_method(4), drawn.pair(184, 184)).ms_ssim is not None


def test_blurred_edges_are_an_edge_error() -> None:
    pair = drawn.pair()
    blurred = Method("x", lambda p: torch.from_numpy(gaussian_filter(p.high[0].numpy(), 2))[None, None])
    assert 0 < of(drawn.honest(), pair).edge_error < of(blurred, pair).edge_error < 1


@pytest.mark.parametrize("degradation", ["bicubic", "kspace", "blur_noise"])
def test_the_original_is_faithful_under_every_degradation_up_to_the_noise(degradation: Kind) -> None:
    pair = drawn.pair(degradation=degradation)
    level = measure(pair.high[None], pair, 4, degradation)[0].consistency_db
    assert level > 100 if degradation != "blur_noise" else 38 < level < 42  # noise of a hundredth is 40 dB


def test_pasted_texture_is_an_error_beyond_the_input() -> None:
    pair = drawn.pair()
    assert of(drawn.honest(), pair).error_beyond < 1 < of(drawn.pasting(), pair).error_beyond
    assert of(drawn.pasting(), pair).energy_beyond > of(drawn.honest(), pair).energy_beyond


def test_texture_in_a_corner_shows_in_the_worst_part_and_in_no_mean() -> None:
    pair = drawn.pair(192, 200)
    honest, invented = of(drawn.honest(), pair), of(drawn.pasting_into((slice(4, 36), slice(4, 36)), 0.15), pair)
    assert honest.error_beyond_worst < 0.5 and invented.error_beyond_worst > 10
    assert abs(invented.error_beyond - honest.error_beyond) < 0.05


def test_detail_that_is_all_upside_down_comes_to_four_in_the_worst_part_and_no_more() -> None:
    pair = drawn.pair(192, 200)
    image = pair.high[None].double()
    score = measure(image - 2 * beyond(image, 4), pair, 4, "bicubic")[0]
    assert 3.5 < score.error_beyond_worst <= 4.2  # the border that is cropped moves the frequencies a little


def test_what_256_greys_cannot_show_is_no_invention() -> None:
    pair = drawn.pair()
    flat = Pair(pair.row, torch.full_like(pair.low, 0.5), torch.full_like(pair.high, 0.5), pair.body)
    image = flat.high[None] + drawn.texture(flat.high) / 512
    assert measure(image, flat, 4, "bicubic")[0].error_beyond_worst < 4
    assert measure(image + drawn.texture(flat.high) / 64, flat, 4, "bicubic")[0].error_beyond_worst > 4


def test_something_drawn_into_one_place_shows_in_the_worst_part() -> None:
    pair = drawn.pair(192, 200)
    honest, invented = of(drawn.honest(), pair), of(drawn.drawing_a_blob(), pair)
    assert invented.consistency_worst_db < honest.consistency_worst_db - 6
    assert abs(invented.error_beyond - honest.error_beyond) < 0.05, "the mean over frequencies does not see it"


def test_a_method_that_is_not_at_hand_leaves_its_column_empty_and_one_that_is_fills_it() -> None:
    pair = drawn.pair()
    image = bicubic_method(4).sharpen(pair)
    assert measure(image, pair, 4, "bicubic")[0].lpips is None
    assert measure(image, pair, 4, "bicubic", lambda x, y: float((x - y).abs().mean()))[0].lpips > 0  # type: ignore[operator]


def test_a_flat_original_does_not_divide_by_nothing() -> None:
    pair = drawn.pair()
    flat = Pair(pair.row, torch.full_like(pair.low, 0.5), torch.full_like(pair.high, 0.5), pair.body)
    score = measure(flat.high[None], flat, 4, "bicubic")[0]
    assert score.edge_error == 0 and np.isfinite(score.error_beyond)
