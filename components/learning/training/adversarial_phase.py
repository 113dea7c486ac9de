"""The adversarial phase of SRGAN and ESRGAN: from the pixel phase's generator, against a discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from components.learning.datasets.pairs import Pair
from components.learning.training.accumulation import GradientAccumulation, MicroBatch
from components.learning.training.features import Features
from components.learning.training.losses import discriminator_loss, generator_loss, pixel_loss
from components.learning.training.optimisation import MovingAverage, compiled
from components.learning.training.patches import Patches
from components.learning.training.pixel_phase import score_on
from components.learning.training.trainer import prepare_rates
from components.params.trainings import AdversarialTraining

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class AdversarialPhase:
    """Keeps the last averaged weights: PSNR falls by design in this phase, so it cannot choose among weights."""

    criterion = ""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        features: Features,
        settings: AdversarialTraining,
        fabric: Fabric,
        patches: Patches,
        validation: list[Pair],
    ) -> None:
        self._settings, self._fabric, self._accumulation = (
            settings,
            fabric,
            GradientAccumulation(fabric, settings.accumulate),
        )
        self._features, self._patches, self._validation = features, patches, validation
        features.module.to(fabric.device)
        self.modules: dict[str, nn.Module] = {}
        self.optimisers: dict[str, Optimizer] = {}
        self._wrapped: dict[str, nn.Module] = {}
        for name, module in (("generator", generator), ("discriminator", discriminator)):
            self._set_up(name, self._accumulation.prepared(module))
        self.average = MovingAverage(self.modules["generator"], settings.ema)

    def step(self, step: int) -> dict[str, Tensor]:
        for name, module in self.modules.items():
            module.train()
            self.optimisers[name].zero_grad(set_to_none=True)
        generated_batches: list[tuple[MicroBatch, Tensor, Tensor]] = []
        losses: dict[str, Tensor] = {}
        for micro_batch in self._accumulation.micro_batches():
            low, high = self._patches.batch(step, micro_batch.part, micro_batch.parts)
            with self._accumulation.no_sync(self._wrapped["generator"], micro_batch):
                generated = self._wrapped["generator"](low)
                _add(losses, self._improve_generator(generated, high))
            generated_batches.append((micro_batch, generated.detach(), high))
        self.optimisers["generator"].step()
        for micro_batch, generated, high in generated_batches:
            with self._accumulation.no_sync(self._wrapped["discriminator"], micro_batch):
                _add(losses, {"discriminator_loss": self._improve_discriminator(generated, high)})
        self.optimisers["discriminator"].step()
        self.average.update()
        return losses

    def validate(self) -> dict[str, float]:
        return score_on(self.modules["generator"], self.average.state, self._validation, self._fabric)

    def _set_up(self, name: str, module: nn.Module) -> None:
        settings = self._settings
        adam = Adam(module.parameters(), settings.learning_rate, betas=(0.9, settings.beta2), fused=True)
        self.modules[name] = module
        self._wrapped[name], self.optimisers[name] = self._fabric.setup(
            compiled(module, settings.compile), prepare_rates(adam)
        )

    def _improve_generator(self, generated: Tensor, high: Tensor) -> dict[str, Tensor]:
        """Adds the gradients of one micro-batch; the discriminator gets none."""
        settings, discriminator = self._settings, self.modules["discriminator"]
        discriminator.requires_grad_(False)
        with self._fabric.autocast():  # not the wrapped discriminator, which would exchange gradients
            real_logits = discriminator(high) if settings.relativistic else high.new_zeros(0)
            generated_logits = discriminator(generated)
        adversarial = generator_loss(real_logits, generated_logits, settings.relativistic, self._accumulation.mean)
        content = self._content(generated, high)
        pixel = pixel_loss(generated, high, "l1")
        total = self._accumulation.backward(
            settings.pixel_weight * pixel
            + settings.content_weight * content
            + settings.adversarial_weight * adversarial
        )
        discriminator.requires_grad_(True)
        micro_batches = settings.accumulate
        return {
            "pixel_loss": pixel.detach() / micro_batches,
            "content_loss": content.detach() / micro_batches,
            "adversarial_loss": adversarial.detach() / micro_batches,
            "generator_loss": total,
        }

    def _improve_discriminator(self, generated: Tensor, high: Tensor) -> Tensor:
        discriminator = self._wrapped["discriminator"]
        relativistic = self._settings.relativistic
        return self._accumulation.backward(
            discriminator_loss(discriminator(high), discriminator(generated), relativistic, self._accumulation.mean)
        )

    def _content(self, generated: Tensor, high: Tensor) -> Tensor:
        with self._fabric.autocast():
            with torch.no_grad():
                reference = self._features.extract(high).float()
            estimate = self._features.extract(generated).float()
        if self._settings.relativistic:  # ESRGAN takes the absolute distance, SRGAN the squared one
            return F.l1_loss(estimate, reference)
        return self._features.squared_weight * F.mse_loss(estimate, reference)


def _add(sums: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums[name] + value if name in sums else value


def interpolated(pixel: Mapping[str, Tensor], adversarial: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) pixel + alpha adversarial, weight by weight (arXiv:1809.00219, equation 6)."""
    return {
        key: torch.lerp(value, adversarial[key].to(value), alpha) if value.is_floating_point() else adversarial[key]
        for key, value in pixel.items()
    }


def choose_interpolation(
    network: nn.Module,
    pixel: Mapping[str, Tensor],
    adversarial: Mapping[str, Tensor],
    settings: AdversarialTraining,
    validation: list[Pair],
    fabric: Fabric,
) -> tuple[float, dict[str, dict[str, float]]]:
    """The largest alpha whose validation PSNR is within `interpolation_cost_db` of the best, and all scores."""
    scores = {
        str(alpha): score_on(network, interpolated(pixel, adversarial, alpha), validation, fabric)
        for alpha in settings.interpolation
    }
    best = max(score["validation_psnr_db"] for score in scores.values())
    allowed = best - settings.interpolation_cost_db
    chosen = max(alpha for alpha in settings.interpolation if scores[str(alpha)]["validation_psnr_db"] >= allowed)
    return chosen, scores
