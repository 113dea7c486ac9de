"""The pixel phase: a generator learns to undo the degradation, by the distance between pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from components.learning.datasets.pairs import Pair
from components.learning.metrics.image_quality import crop_border, psnr, ssim
from components.learning.training.accumulation import GradientAccumulation, MicroBatch
from components.learning.training.losses import pixel_loss
from components.learning.training.optimisation import MovingAverage, compiled
from components.learning.training.patches import Patches
from components.learning.training.trainer import prepare_rates
from components.params.trainings import PixelTraining

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VALIDATION_SIDE = 96  # low-resolution pixels: the middle of a validation image, so that validation stays cheap


class PixelPhase:
    """SRCNN, SRResNet and RRDB; keeps the last averaged weights.

    By then the learning rate is near zero. A choice by a few validation patients would be worse.
    """

    criterion = ""

    def __init__(
        self, network: nn.Module, settings: PixelTraining, fabric: Fabric, patches: Patches, validation: list[Pair]
    ) -> None:
        self._settings, self._fabric, self._accumulation = (
            settings,
            fabric,
            GradientAccumulation(fabric, settings.accumulate),
        )
        self._patches, self._validation = patches, validation
        self._network = network = self._accumulation.prepared(network)
        optimiser = _adam(network, settings)
        self._wrapped, self._optimiser = fabric.setup(compiled(network, settings.compile), optimiser)
        self.modules = {"generator": network}
        self.optimisers: dict[str, Optimizer] = {"generator": self._optimiser}
        self.average = MovingAverage(network, settings.ema)

    def step(self, step: int) -> dict[str, Tensor]:
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        loss = torch.stack(
            [self._micro_batch(step, micro_batch) for micro_batch in self._accumulation.micro_batches()]
        ).sum()
        self._optimiser.step()
        self.average.update()
        return {"pixel_loss": loss}

    def _micro_batch(self, step: int, micro_batch: MicroBatch) -> Tensor:
        low, high = self._patches.batch(step, micro_batch.part, micro_batch.parts)
        with self._accumulation.no_sync(self._wrapped, micro_batch):
            return self._accumulation.backward(pixel_loss(self._wrapped(low), high, self._settings.loss))

    def validate(self) -> dict[str, float]:
        return score_on(self._network, self.average.state, self._validation, self._fabric)


def score_on(network: nn.Module, state: dict[str, Tensor], pairs: list[Pair], fabric: Fabric) -> dict[str, float]:
    """Mean PSNR and SSIM of `network` with the weights `state` on the middle of `pairs`; restores its weights."""
    current = {key: value.detach().clone() for key, value in network.state_dict().items()}
    network.load_state_dict(state)
    network.eval()
    try:
        values = [_score(network, pair, fabric) for pair in pairs]
    finally:
        network.load_state_dict(current)
    mean = torch.tensor(values, dtype=torch.float64).mean(0)
    return {"validation_psnr_db": float(mean[0]), "validation_ssim": float(mean[1])}


@torch.inference_mode()
def _score(network: nn.Module, pair: Pair, fabric: Fabric) -> tuple[float, float]:
    scale = int(network.scale)  # type: ignore[arg-type]
    low = _middle(pair.low, VALIDATION_SIDE).unsqueeze(0).to(fabric.device)
    high = _middle(pair.high, VALIDATION_SIDE * scale).unsqueeze(0).to(fabric.device)
    with fabric.autocast():
        estimate = network(low)
    estimate = crop_border(estimate.float().clamp(0, 1), scale)
    high = crop_border(high, scale)
    return float(psnr(estimate, high)), float(ssim(estimate, high))


def _middle(image: Tensor, side: int) -> Tensor:
    """The centre, at most `side` pixels a side; the offsets of both resolutions correspond."""
    height, width = image.shape[-2:]
    unit = side // VALIDATION_SIDE
    top, left = ((max(0, length - side) // 2) // unit * unit for length in (height, width))
    return image[..., top : top + side, left : left + side]


def _adam(network: nn.Module, settings: PixelTraining) -> Optimizer:
    last = list(network.last_layer.parameters())  # type: ignore[union-attr]
    earlier = [p for p in network.parameters() if all(p is not parameter for parameter in last)]
    groups = [
        {"params": earlier, "lr": settings.learning_rate},
        {"params": last, "lr": settings.learning_rate * settings.last_layer_rate_factor},
    ]
    return prepare_rates(Adam(groups, betas=(0.9, settings.beta2), fused=True))
