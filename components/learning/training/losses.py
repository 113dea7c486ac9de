"""Losses of SRGAN and ESRGAN."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Mean = Callable[[Tensor], Tensor]


def discriminator_loss(real: Tensor, generated: Tensor, relativistic: bool, mean: Mean = torch.mean) -> Tensor:
    """How badly a discriminator tells real from generated; `real` and `generated` are its logits, `(B, 1)`.

    Plain: Goodfellow et al. 2014. Relativistic average: Jolicoeur-Martineau 2018, arXiv:1807.00734; `mean` is
    then taken of a batch that may be spread over processes.
    """
    real, generated = _against_each_other(real, generated, mean) if relativistic else (real, generated)
    loss = _is(real, 1.0) + _is(generated, 0.0)
    return loss / 2 if relativistic else loss


def generator_loss(real: Tensor, generated: Tensor, relativistic: bool, mean: Mean = torch.mean) -> Tensor:
    """How well the discriminator sees through a generator; shapes as in `discriminator_loss`.

    Plain uses the non-saturating -log D(G(z)) (arXiv:1609.04802, equation 6).
    """
    if not relativistic:
        return _is(generated, 1.0)
    real, generated = _against_each_other(real, generated, mean)
    return (_is(real, 0.0) + _is(generated, 1.0)) / 2


def pixel_loss(estimate: Tensor, reference: Tensor, kind: str) -> Tensor:
    """Mean squared (`mse`) or mean absolute (`l1`) error over everything."""
    losses = {"mse": F.mse_loss, "l1": F.l1_loss}
    if kind not in losses:
        raise ValueError(f"loss: expected mse or l1, found {kind!r}")
    return losses[kind](estimate, reference)


def _against_each_other(real: Tensor, generated: Tensor, mean: Mean) -> tuple[Tensor, Tensor]:
    return real - mean(generated), generated - mean(real)


def _is(logits: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, truth, dtype=torch.float32))
