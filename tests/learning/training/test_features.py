from pathlib import Path

import pytest
import torch
from torchvision.models import vgg19

from components.learning.models import build
from components.learning.training.features import make_features, vgg19_cache
from components.learning.weights import save_weights

CLASSIFIER = {"name": "densenet201", "growth_rate": 4, "blocks": [2, 2, 2, 2], "initial_channels": 8}


def test_vgg19_is_read_from_the_path_that_is_set(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = vgg19(weights=None).state_dict()
    kept = {key: value for key, value in state.items() if key.startswith("features.")}
    torch.save(kept, tmp_path / "vgg.pth")
    features = make_features("vgg19", str(tmp_path / "vgg.pth"), "random", tmp_path)
    assert features.origin == "VGG19 conv5_4 from vgg.pth"
    image = torch.rand(1, 1, 32, 32)
    assert features.extract(image).shape == (1, 512, 2, 2)
    assert bool((features.extract(image) < 0).any()), "conv5_4 is taken before its ReLU"


def test_srgan_divides_vgg19s_features_by_its_papers_number_and_esrgan_does_not(tmp_path: Path) -> None:
    layers = vgg19(weights=None)
    torch.save(layers.state_dict(), tmp_path / "vgg.pth")
    features = make_features("vgg19", str(tmp_path / "vgg.pth"), "random", tmp_path)
    assert features.squared_weight == pytest.approx(12.75**-2)
    image = torch.rand(1, 1, 32, 32)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    wanted = layers.features[:35]((image.repeat(1, 3, 1, 1) - mean) / std)
    torch.testing.assert_close(features.extract(image), wanted)


@pytest.mark.parametrize("substitute", ["classifier", "random"])
def test_without_vgg19_the_substitute_is_used_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, substitute: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_: pytest.fail("nothing is downloaded"))
    save_weights(tmp_path / "classifier", build(CLASSIFIER).state_dict(), {"network": CLASSIFIER})
    features = make_features("vgg19", "", substitute, tmp_path / "classifier")
    assert "no VGG19 weights" in features.origin and vgg19_cache().name in features.origin
    image = torch.rand(1, 1, 32, 32, requires_grad=True)
    features.extract(image).sum().backward()
    assert image.grad is not None and all(not p.requires_grad for p in features.module.parameters())


def test_random_features_are_the_same_in_every_run() -> None:
    image = torch.rand(1, 1, 32, 32)
    one, other = (make_features("random", "", "random", Path()).extract(image) for _ in range(2))
    torch.testing.assert_close(one, other)
