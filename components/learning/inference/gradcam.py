"""Where a classifier looked: Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


def grad_cam(network: nn.Module, image: Tensor, target: int = 1) -> NDArray[np.float32]:
    """How strongly each pixel of `image` (1, C, S, S) supports class `target`: (S, S) in [0, 1].

    The positive part of a sum over the last feature maps of a `DenseNet201`, each weighted by the mean gradient of the
    class's logit. Puts the network in evaluation mode and keeps no gradients of its weights.
    """
    network.eval()
    feature_maps: list[Tensor] = []
    layers = network.network.features  # type: ignore[union-attr]
    handle = layers.register_forward_hook(lambda _, __, maps: feature_maps.append(maps))  # type: ignore[union-attr]
    try:
        with torch.enable_grad():
            logit = network(image.to(next(network.parameters())).requires_grad_())[0, target]
            (gradient,) = torch.autograd.grad(logit, feature_maps[0])
    finally:
        handle.remove()
    support = F.relu((gradient.mean((2, 3), keepdim=True) * feature_maps[0].detach()).sum(1, keepdim=True))
    heat = F.interpolate(support, size=image.shape[-2:], mode="bilinear", align_corners=False)[0, 0].float().cpu()
    peak = float(heat.max())
    return (heat / peak if peak > 0 else heat).numpy()
