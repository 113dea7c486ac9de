"""Spectral normalisation of a discriminator (Miyato et al., ICLR 2018, arXiv:1802.05957)."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def constrain(discriminator: nn.Module) -> None:
    """Divides the weight of every convolution and dense layer by its largest singular value, at every forward pass."""
    for module in list(discriminator.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            spectral_norm(module)
