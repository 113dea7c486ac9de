"""Where a classifier looked: Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


def grad_cam(network: nn.Module, image: Tensor, target: int = 1) -> NDArray[np.float32]:
    """How much each place of `image` (1, C, S, S) speaks for class `target`: (S, S) in [0, 1], 0 where nothing does.

    Of the feature maps that the head of a `DenseNet201` averages, each weighted by the mean gradient of the class's
    logit, what is positive. The network is used, and left, in evaluation mode; gradients of its weights are not kept.
    """
    network.eval()
    kept: list[Tensor] = []
    body = network.network.features  # type: ignore[union-attr]
    handle = body.register_forward_hook(lambda _, __, maps: kept.append(maps))  # type: ignore[union-attr]
    try:
        with torch.enable_grad():
            logit = network(image.to(next(network.parameters())).requires_grad_())[0, target]
            (gradient,) = torch.autograd.grad(logit, kept[0])
    finally:
        handle.remove()
    spoken = F.relu((gradient.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1, keepdim=True))
    heat = F.interpolate(spoken, size=image.shape[-2:], mode="bilinear", align_corners=False)[0, 0].float().cpu()
    most = float(heat.max())
    return (heat / most if most > 0 else heat).numpy()
