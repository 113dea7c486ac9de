"""DenseNet-201 for images of one channel (Huang et al., CVPR 2017, arXiv:1608.06993), on torchvision's network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models import DenseNet


class DenseNet201(nn.Module):
    """Maps `(B, 1, H, W)` in [0, 1] to `(B, classes)` logits; H and W at least 32.

    The defaults are the published sizes. Inputs are centred on 0 as ImageNet's are.
    """

    def __init__(
        self,
        classes: int = 2,
        growth_rate: int = 32,
        blocks: Sequence[int] = (6, 12, 48, 32),
        initial_channels: int = 64,
    ) -> None:
        super().__init__()
        self.network = DenseNet(
            growth_rate=growth_rate, block_config=tuple(blocks), num_init_features=initial_channels, num_classes=classes
        )
        self.network.features.conv0 = nn.Conv2d(1, initial_channels, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(self.network.features.conv0.weight)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.network((image - 0.5) * 4)
        return result

    def features(self, image: Tensor) -> Tensor:
        """What the first dense block and its transition see: `(B, C, H / 8, W / 8)`."""
        x = (image - 0.5) * 4
        for name, layer in self.network.features.named_children():
            x = layer(x)
            if name == "transition1":
                break
        return x

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Takes torchvision's DenseNet-201 weights; the three colours' first kernels are summed, the head stays new.

        Raises `ValueError` naming what does not fit.
        """
        own = self.network.state_dict()
        taken = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        taken["features.conv0.weight"] = state["features.conv0.weight"].sum(1, keepdim=True)
        wrong = [key for key, value in taken.items() if key not in own or own[key].shape != value.shape]
        if wrong:
            raise ValueError(f"expected torchvision's DenseNet-201 weights; {len(wrong)} do not fit, first {wrong[0]}")
        with torch.no_grad():
            self.network.load_state_dict(own | taken)
