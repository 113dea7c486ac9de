import pytest
import torch

from components.learning.models.dcgan_discriminator import DCGANDiscriminator


@pytest.mark.parametrize("size", [28, 40, 64])
def test_an_image_and_its_label_get_one_logit(size: int) -> None:
    torch.manual_seed(0)
    network = DCGANDiscriminator(channels=4, size=size).eval()
    images = torch.rand(3, 1, size, size)
    with torch.inference_mode():
        healthy, ill = (network(images, torch.full((3,), label)) for label in (0, 1))
    assert healthy.shape == (3, 1) and not torch.allclose(healthy, ill)


def test_the_published_widths_are_the_defaults() -> None:
    widths = [layer.out_channels for layer in DCGANDiscriminator().maps if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [64, 128, 256, 512]


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    weights = torch.cat([p.detach().flatten() for p in DCGANDiscriminator(channels=16).parameters() if p.ndim == 4])
    assert float(weights.mean()) == pytest.approx(0, abs=1e-3) and float(weights.std()) == pytest.approx(0.02, rel=0.02)
