import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from components.imaging.degradation import degrade
from components.learning.inference.upscaling import bicubic_upscale
from components.natural_images.folder import paired, read_pair
from components.natural_images.protocol import PictureScore, Table, cropped, luma, reduced, score
from tests.natural_pictures import colour

EXTRA = os.environ.get("MEDSR_EXTRA_DATA", "")
without_extra = pytest.mark.skipif(not EXTRA, reason="MEDSR_EXTRA_DATA names no folder with set5-set14.zip")


def picture(rows: int, columns: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(colour(rows, columns, seed)).permute(2, 0, 1)


def bicubic_on(name: str, folder: Path) -> tuple[float, float]:
    """Mean PSNR and SSIM at x4 from the low-resolution pictures that MATLAB made."""
    with zipfile.ZipFile(Path(EXTRA) / "set5-set14.zip") as archive:
        archive.extractall(folder)
    pairs = [read_pair(one, 4) for one in paired(folder / name, None, 4)]
    psnr_db, ssim = np.mean([score(bicubic_upscale(4), low, high, 4)[:2] for low, high in pairs], axis=0)
    return psnr_db, ssim


@without_extra
def test_bicubic_scores_on_set5_what_is_published(tmp_path: Path) -> None:
    psnr_db, ssim = bicubic_on("Set5", tmp_path)
    assert (f"{psnr_db:.2f}", f"{ssim:.4f}") == ("28.42", "0.8101")


@without_extra
def test_bicubic_scores_on_set14_about_what_is_published(tmp_path: Path) -> None:
    """A grey picture among the 14 says how grey is taken: as RGB, it would be 26.08 dB."""
    assert bicubic_on("Set14", tmp_path) == (pytest.approx(26.00, abs=0.015), pytest.approx(0.7027, abs=0.001))


def test_luma_is_that_of_the_standard_rounded_to_8_bits() -> None:
    image = picture(37, 41)
    expected = rgb2ycbcr(image.permute(1, 2, 0).numpy())[..., 0].round()
    np.testing.assert_array_equal(luma(image)[0].numpy(), expected)
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 2)
    assert luma(black_and_white).flatten().tolist() == [16, 235]


def test_a_grey_picture_is_its_own_luma() -> None:
    grey = picture(20, 23)[:1]
    assert torch.equal(luma(grey), grey.float())


def test_scores_agree_with_scikit_image_on_8_bits_without_the_border() -> None:
    high = picture(64, 76)
    psnr_db, ssim, estimate = score(bicubic_upscale(4), reduced(high, 4), high, 4)
    x, y = (image[0, 4:-4, 4:-4].double().numpy() for image in (estimate, luma(high)))
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, similarity = structural_similarity(y, x, full=True, **settings)
    assert psnr_db == pytest.approx(peak_signal_noise_ratio(y, x, data_range=255), abs=1e-6)
    assert ssim == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-6)


def test_the_estimate_is_in_8_bits_before_it_is_scored() -> None:
    high = picture(40, 44)

    def nearly(_: torch.Tensor) -> torch.Tensor:
        return (luma(high) + 0.4)[None] / 255

    psnr_db, ssim, estimate = score(nearly, reduced(high, 4), high, 4)
    assert psnr_db == float("inf") and ssim == pytest.approx(1)
    assert torch.equal(estimate, luma(high))


def test_a_network_is_shown_luma_in_0_to_1() -> None:
    high, shown = picture(40, 44), []

    def upscale(low: torch.Tensor) -> torch.Tensor:
        shown.append(low)
        return bicubic_upscale(4)(low)

    low = reduced(high, 4)
    score(upscale, low, high, 4)
    torch.testing.assert_close(shown[0], luma(low)[None] / 255)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_reduction_is_matlab_s_in_8_bits(scale: int) -> None:
    high = cropped(picture(61, 71), scale)
    low = reduced(high, scale)
    assert low.dtype == torch.uint8 and low.shape == (3, high.shape[1] // scale, high.shape[2] // scale)
    exact = degrade(high[1].float().numpy(), scale, "bicubic", 0)
    np.testing.assert_allclose(low[1].numpy(), np.clip(exact, 0, 255), atol=0.5001)


def test_what_makes_no_multiple_of_the_scale_goes_at_the_bottom_and_right() -> None:
    image = picture(43, 50)
    assert torch.equal(cropped(image, 4), image[:, :40, :48])
    with pytest.raises(ValueError, match="19 pixels a side or more, found 43 x 19"):
        cropped(image[..., :19], 4)


def test_the_mean_is_over_pictures() -> None:
    table = Table("bicubic", 4, "found", (PictureScore("one", 30.0, 0.9), PictureScore("two", 25.0, 0.8)))
    assert table.mean == PictureScore("mean", 27.5, pytest.approx(0.85))
    assert list(table.lines())[-2:] == [
        "mean    27.50  0.8500",
        "bicubic x4, luma in 8 bits; low resolution found",
    ]


def test_json_has_null_for_an_infinite_psnr() -> None:
    content = Table("bicubic", 4, "found", (PictureScore("one", float("inf"), 1.0),)).as_dict()
    assert content["images"] == [{"name": "one", "psnr_db": None, "ssim": 1.0}]
    assert content["mean"]["psnr_db"] is None
