"""Pixel loss and adversarial losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Mean = Callable[[Tensor], Tensor]


def discriminator_loss(real: Tensor, generated: Tensor, relativistic: bool, mean: Mean = torch.mean) -> Tensor:
    """How badly a discriminator tells real from generated; `real` and `generated` are its logits, `(B, 1)`.

    Plain: Goodfellow et al. 2014. Relativistic average: Jolicoeur-Martineau 2018, arXiv:1807.00734, where `mean` may
    average a batch over processes.
    """
    real, generated = _relative(real, generated, mean) if relativistic else (real, generated)
    loss = _cross_entropy(real, 1.0) + _cross_entropy(generated, 0.0)
    return loss / 2 if relativistic else loss


def generator_loss(real: Tensor, generated: Tensor, relativistic: bool, mean: Mean = torch.mean) -> Tensor:
    """How well the discriminator recognises generated images; shapes as in `discriminator_loss`.

    Plain uses the non-saturating -log D(G(z)) (arXiv:1609.04802, equation 6).
    """
    if not relativistic:
        return _cross_entropy(generated, 1.0)
    real, generated = _relative(real, generated, mean)
    return (_cross_entropy(real, 0.0) + _cross_entropy(generated, 1.0)) / 2


def pixel_loss(estimate: Tensor, reference: Tensor, kind: str) -> Tensor:
    """Mean squared (`mse`) or mean absolute (`l1`) error over all pixels."""
    losses = {"mse": F.mse_loss, "l1": F.l1_loss}
    if kind not in losses:
        raise ValueError(f"loss: expected mse or l1, found {kind!r}")
    return losses[kind](estimate, reference)


def _relative(real: Tensor, generated: Tensor, mean: Mean) -> tuple[Tensor, Tensor]:
    return real - mean(generated), generated - mean(real)


def _cross_entropy(logits: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, truth, dtype=torch.float32))
