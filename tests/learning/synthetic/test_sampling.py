import torch

from components.learning.models.dcgan_generator import DCGANGenerator
from components.learning.synthetic.sampling import sample_images

CPU = torch.device("cpu")


def test_the_same_seed_makes_the_same_images_and_batches_do_not_matter() -> None:
    torch.manual_seed(0)
    network = DCGANGenerator(latent=5, channels=2, size=32)
    labels = torch.arange(70) % 2
    images = sample_images(network, labels, 3, CPU)
    torch.testing.assert_close(sample_images(network, labels, 3, CPU), images, rtol=0, atol=0)
    assert images.shape == (70, 1, 32, 32) and not torch.equal(images[0], images[2])
    assert not torch.equal(sample_images(network, labels, 4, CPU), images)
