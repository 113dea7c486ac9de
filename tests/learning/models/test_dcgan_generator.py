import pytest
import torch

from components.learning.models.dcgan_generator import DCGANGenerator, doublings_of


@pytest.mark.parametrize(("size", "start"), [(28, 7), (32, 4), (40, 5), (64, 4), (224, 7)])
def test_any_size_that_halves_down_to_a_few_pixels_is_made(size: int, start: int) -> None:
    network = DCGANGenerator(latent=5, channels=2, size=size).eval()
    with torch.inference_mode():
        images = network(torch.randn(3, 5), torch.tensor([0, 1, 1]))
    assert network.start == start and images.shape == (3, 1, size, size)
    assert images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize("size", [4, 7, 33, 36, 100])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"halves down to 4 to 7 pixels, such as 64 or 224, found {size}"):
        doublings_of(size)


def test_the_published_sizes_are_the_defaults() -> None:
    network = DCGANGenerator()
    widths = [layer.out_channels for layer in network.maps if isinstance(layer, torch.nn.Conv2d)]
    assert (network.latent, network.first.out_features // 16) == (100, 512) and widths == [256, 128, 64, 64, 1]


def test_label_and_noise_both_decide() -> None:
    torch.manual_seed(0)
    network = DCGANGenerator(latent=5, channels=4, size=32).eval()
    noise = torch.randn(1, 5)
    with torch.inference_mode():
        first = network(noise, torch.tensor([0]))
        assert not torch.equal(first, network(noise, torch.tensor([1])))
        assert not torch.equal(first, network(noise + 1, torch.tensor([0])))
