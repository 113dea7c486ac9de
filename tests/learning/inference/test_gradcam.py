import torch
from torch import nn

from components.learning.inference.gradcam import grad_cam
from components.learning.models import build

SMALL = {"name": "densenet201", "growth_rate": 4, "blocks": [1, 1], "initial_channels": 4, "stem": "small"}


def bright_classifier() -> nn.Module:
    """Says class 1 where its last maps are large, which here copy the image's brightness."""

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential()
            self.network.features = nn.AvgPool2d(4)  # type: ignore[assignment]
            self.head = nn.Parameter(torch.tensor([-1.0, 1.0]))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.network.features(image).mean((2, 3)) * self.head  # type: ignore[operator]

    return Bright()


def test_the_heat_lies_where_the_class_was_seen() -> None:
    image = torch.zeros(1, 1, 32, 32)
    image[..., 4:12, 20:28] = 1
    heat = grad_cam(bright_classifier(), image, target=1)
    assert heat.shape == (32, 32) and heat.max() == 1
    assert heat[4:12, 20:28].min() > 0.3 > heat[20:, :12].max()
    assert not grad_cam(bright_classifier(), image, target=0).any(), "nothing speaks for the other class"


def test_a_densenet_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = build(SMALL, classes=2).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    heat = grad_cam(network, torch.rand(1, 1, 28, 28))
    assert heat.shape == (28, 28) and 0 <= heat.min() <= heat.max() <= 1
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training
