"""Gradient accumulation: a batch is split over processes and, in each process, over micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class MicroBatch:
    """Part `part` of the `parts` of a batch. After the `last` one of a process its gradients are complete."""

    part: int
    parts: int
    last: bool


@dataclass(frozen=True)
class GradientAccumulation:
    """One optimiser step over `batch_size` images, computed by several processes, in several micro-batches each.

    Losses are means over a batch, so each micro-batch counts `1 / accumulate`. Gradients are averaged over processes.
    """

    fabric: Fabric
    accumulate: int  # micro-batches of each process

    def micro_batches(self) -> Iterator[MicroBatch]:
        parts, first = self.fabric.world_size * self.accumulate, self.fabric.global_rank * self.accumulate
        for n in range(self.accumulate):
            yield MicroBatch(first + n, parts, n == self.accumulate - 1)

    def no_sync(self, network: nn.Module, micro_batch: MicroBatch) -> AbstractContextManager[None]:
        """The context for forward and backward of a micro-batch: only the last one exchanges gradients."""
        context: AbstractContextManager[None] = self.fabric.no_backward_sync(network, enabled=not micro_batch.last)
        return context

    def backward(self, loss: Tensor) -> Tensor:
        """Adds a micro-batch's gradients; returns its share of the loss, to be summed over micro-batches."""
        share = loss / self.accumulate
        self.fabric.backward(share)
        return share.detach()

    def mean(self, logits: Tensor) -> Tensor:
        """The differentiable mean over all processes, which the relativistic losses compare with."""
        all_logits: Tensor = self.fabric.all_gather(logits, sync_grads=True)
        return all_logits.mean()

    def prepared(self, network: nn.Module) -> nn.Module:
        """`network` in channels-last layout, its batch norm over all processes where these compute on GPUs."""
        if self.fabric.world_size > 1 and self.fabric.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
