import pytest
import torch
import torch.nn.functional as F
from torchvision.models import DenseNet, densenet201

from components.learning.models import NETWORKS, build
from components.learning.models.srcnn import enlarge
from components.learning.models.upsampling import doublings

SMALL = {
    "srcnn": {"channels": 8, "hidden_channels": 4},
    "srresnet": {"channels": 8, "blocks": 1},
    "rrdb": {"channels": 8, "blocks": 1, "growth_channels": 4},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_generator_enlarges_odd_sizes_by_its_scale(name: str, scale: int) -> None:
    network = build({"name": name, **SMALL[name]}, scale=scale).eval()
    assert network(torch.rand(2, 1, 13, 17)).shape == (2, 1, 13 * scale, 17 * scale)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("srcnn", 8_129),  # 9-1-5 with 64 and 32 channels, one colour
        ("srresnet", 5_249 + 16 * 73_985 + 36_992 + 2 * 147_713 + 5_185),  # head, blocks, trunk's end, two x2, tail
        ("rrdb", 16_697_987 - 2 * 64 * 9 - 2 * (64 * 9 + 1)),  # the authors' count for three colours, less two
    ],
)
def test_the_published_sizes_are_the_defaults(name: str, parameters: int) -> None:
    found = sum(p.numel() for p in NETWORKS[name](scale=4).parameters())
    assert found == parameters


def test_srcnn_begins_as_published_where_it_is_asked_to() -> None:
    network = build({"name": "srcnn", "initial_std": 0.001}, scale=4)
    assert float(network.extraction.weight.detach().std()) == pytest.approx(0.001, rel=0.1)  # type: ignore[union-attr]
    assert all(not bool(bias.any()) for name, bias in network.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("name", ["srgan_discriminator", "esrgan_discriminator"])
@pytest.mark.parametrize("side", [32, 96, 129])
def test_a_discriminator_gives_one_logit_an_image(name: str, side: int) -> None:
    assert build({"name": name, "channels": 4})(torch.rand(2, 1, side, side)).shape == (2, 1)


@pytest.mark.parametrize("name", ["srgan_discriminator", "esrgan_discriminator"])
def test_spectral_norm_bounds_every_layer_and_is_off_unless_asked_for(name: str) -> None:
    plain = build({"name": name, "channels": 4})
    assert not any("parametrizations" in key for key in plain.state_dict())
    bounded = build({"name": name, "channels": 4, "spectral_norm": True})
    for _ in range(30):  # the largest singular value is found a step at a time
        bounded(torch.rand(2, 1, 32, 32))
    layers = [m for m in bounded.eval().modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in plain.modules())
    for layer in layers:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.05)


def test_densenet_has_the_published_layers_and_takes_one_channel() -> None:
    network = build({"name": "densenet201"})
    ours = sum(p.numel() for p in network.network.parameters())  # type: ignore[union-attr]
    published = sum(p.numel() for p in densenet201(weights=None, num_classes=2).parameters())
    assert isinstance(network.network, DenseNet)
    assert ours == published - 2 * 64 * 7 * 7
    assert network.eval()(torch.rand(1, 1, 33, 47)).shape == (1, 2)


def test_imagenet_kernels_are_summed_over_colours() -> None:
    network = build({"name": "densenet201"})
    state = densenet201(weights=None).state_dict()
    network.load_imagenet(dict(state))  # type: ignore[operator]
    first = network.state_dict()["network.features.conv0.weight"]
    torch.testing.assert_close(first, state["features.conv0.weight"].sum(1, keepdim=True))
    state["features.norm5.weight"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"features\.norm5\.weight"):
        network.load_imagenet(state)  # type: ignore[operator]


def test_an_enlargement_keeps_a_constant_and_uses_keys_kernel() -> None:
    torch.testing.assert_close(enlarge(torch.full((1, 1, 7, 9), 0.3), 4), torch.full((1, 1, 28, 36), 0.3))
    image = torch.rand(1, 1, 16, 16)
    other = F.interpolate(image, scale_factor=4, mode="bicubic")  # a = -0.75
    assert (enlarge(image, 4) - other).abs().max() > 0.01


def test_unknown_networks_sizes_and_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of srcnn"):
        build({"name": "edsr"})
    with pytest.raises(ValueError, match="unknown settings chanels"):
        build({"name": "srcnn", "chanels": 3}, scale=4)
    with pytest.raises(ValueError, match="found 5"):
        doublings(5)
