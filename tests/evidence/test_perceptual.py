from pathlib import Path

import pytest
import torch
from torchvision.models import AlexNet_Weights, alexnet

from components.evidence import perceptual
from components.evidence.perceptual import load_lpips
from components.handover import StepError


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """AlexNet's layers as torchvision stores them, random and without the large classifier."""
    torch.manual_seed(3)
    state = {key: value for key, value in alexnet(weights=None).state_dict().items() if key.startswith("features.")}
    torch.save(state, tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def test_its_weights_have_torchvision_s_name() -> None:
    assert AlexNet_Weights.IMAGENET1K_V1.url.endswith(f"/{perceptual.ALEXNET}")


def test_lpips_grows_with_what_is_done_to_an_image(weights: Path) -> None:
    distance = load_lpips(str(weights), torch.device("cpu"))
    assert distance is not None
    image = torch.rand(1, 1, 64, 72)
    noisy = [(image + strength * torch.randn_like(image)).clamp(0, 1) for strength in (0.05, 0.3)]
    assert distance(image, image) == 0 < distance(noisy[0], image) < distance(noisy[1], image)


def test_lpips_looks_through_the_weights_it_is_given(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({key: 0.5 * value for key, value in state.items()}, tmp_path / "other.pth")
    image, other = torch.rand(2, 1, 1, 64, 64)
    distances = [load_lpips(str(path), torch.device("cpu"))(image, other) for path in (weights, tmp_path / "other.pth")]  # type: ignore[misc]
    assert distances[0] != distances[1]


def test_without_weights_there_is_no_lpips_and_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(perceptual, "alexnet_cache", lambda: tmp_path / "none.pth")
    assert load_lpips("", torch.device("cpu")) is None


def test_a_file_that_is_missing_or_no_alexnet_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"absent\.pth: expected AlexNet's weights"):
        load_lpips(str(tmp_path / "absent.pth"), torch.device("cpu"))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "small.pth")
    with pytest.raises(StepError, match=r"expected torchvision's AlexNet, found no features\.0\.bias"):
        load_lpips(str(tmp_path / "small.pth"), torch.device("cpu"))
