"""How one batch is shared: among the processes of a training, and by each of them over time."""

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
class Turn:
    """Part number `part` of `parts` of a batch; after the `last` of a process its gradients are whole."""

    part: int
    parts: int
    last: bool


@dataclass(frozen=True)
class Sharing:
    """`batch` in the settings is what one step learns from, however many processes and turns it takes.

    Losses are means over a batch, so each turn's counts `1 / turns`; gradients are averaged over processes.
    """

    fabric: Fabric
    accumulate: int  # turns of each process

    def turns(self) -> Iterator[Turn]:
        parts, first = self.fabric.world_size * self.accumulate, self.fabric.global_rank * self.accumulate
        for n in range(self.accumulate):
            yield Turn(first + n, parts, n == self.accumulate - 1)

    def quiet(self, network: nn.Module, turn: Turn) -> AbstractContextManager[None]:
        """In which forward and backward of a turn happen: processes exchange gradients in the last one only."""
        context: AbstractContextManager[None] = self.fabric.no_backward_sync(network, enabled=not turn.last)
        return context

    def backward(self, loss: Tensor) -> Tensor:
        """Adds a turn's gradients; the turn's share of the loss, to be summed over turns."""
        share = loss / self.accumulate
        self.fabric.backward(share)
        return share.detach()

    def mean(self, logits: Tensor) -> Tensor:
        """Over all processes, differentiable: what a relativistic discriminator compares with."""
        everyone: Tensor = self.fabric.all_gather(logits, sync_grads=True)
        return everyone.mean()

    def prepared(self, network: nn.Module) -> nn.Module:
        """`network` for these processes: batch norm then counts the whole batch where the device can do so."""
        if self.fabric.world_size > 1 and self.fabric.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
