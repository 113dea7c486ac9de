"""DenseNet-201 for images of one or three channels (Huang et al., CVPR 2017, arXiv:1608.06993), on torchvision's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STEMS = ("imagenet", "small")


class DenseNet201(nn.Module):
    """Maps `(B, input_channels, H, W)` in [0, 1] to `(B, classes)` logits; one channel stands for all three.

    The defaults are the published sizes; H and W are then at least 32. The `small` stem, a 3 × 3 convolution of stride
    2 without pooling, halves the side of a 28-pixel image before the first block, instead of quartering it. Inputs are
    centred on 0, as ImageNet's are.
    """

    def __init__(
        self,
        classes: int = 2,
        growth_rate: int = 32,
        blocks: Sequence[int] = (6, 12, 48, 32),
        initial_channels: int = 64,
        input_channels: int = 1,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        if stem not in STEMS or input_channels not in (1, 3):
            raise ValueError(
                f"densenet201: expected 1 or 3 input_channels and a stem of {', '.join(STEMS)}, "
                f"found {input_channels} and {stem!r}"
            )
        from torchvision.models import DenseNet  # a second to import, which no other network needs

        self.input_channels = input_channels
        self.network = DenseNet(
            growth_rate=growth_rate, block_config=tuple(blocks), num_init_features=initial_channels, num_classes=classes
        )
        kernel, padding = (7, 3) if stem == "imagenet" else (3, 1)
        self.network.features.conv0 = nn.Conv2d(input_channels, initial_channels, kernel, 2, padding, bias=False)
        nn.init.kaiming_normal_(self.network.features.conv0.weight)
        if stem == "small":
            self.network.features.pool0 = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.network(self._centred(image))
        return result

    def _centred(self, image: Tensor) -> Tensor:
        return (image.expand(-1, self.input_channels, -1, -1) - 0.5) * 4

    def features(self, image: Tensor) -> Tensor:
        """Features of `(B, 1, H, W)` after the first dense block and its transition."""
        x = self._centred(image)
        for name, layer in self.network.features.named_children():
            x = layer(x)
            if name == "transition1":
                break
        return x

    def last_features(self, image: Tensor) -> Tensor:
        """The input of the head: the averaged last feature maps of `(B, 1, H, W)`, `(B, features)`."""
        return torch.relu(self.network.features(self._centred(image))).mean((2, 3))

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The parameters by depth: the stem, each dense block with its transition, the head."""
        groups: list[list[nn.Parameter]] = [[]]
        for name, layer in self.network.features.named_children():
            if name.startswith("denseblock"):
                groups.append([])
            groups[-1] += layer.parameters()
        return [*groups, list(self.network.classifier.parameters())]

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Loads torchvision's DenseNet-201 weights; a single channel gets the sum of the colours' first kernels.

        The head keeps its initial weights. Raises `ValueError` naming what does not fit.
        """
        initial = self.network.state_dict()
        pretrained = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        if self.input_channels == 1:
            pretrained["features.conv0.weight"] = state["features.conv0.weight"].sum(1, keepdim=True)
        wrong = [key for key, value in pretrained.items() if key not in initial or initial[key].shape != value.shape]
        if wrong:
            raise ValueError(f"expected torchvision's DenseNet-201 weights; {len(wrong)} do not fit, first {wrong[0]}")
        with torch.no_grad():
            self.network.load_state_dict(initial | pretrained)
