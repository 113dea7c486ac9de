"""The adversarial phase of SRGAN and ESRGAN: from the pixel phase's generator, against a discriminator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from components.learning.features import Features
from components.learning.losses import discriminator_loss, generator_loss, pixel_loss
from components.learning.optimisation import MovingAverage
from components.learning.patches import Pair, Patches
from components.learning.pixel_phase import score_on
from components.learning.trainer import prepare_rates
from components.params import AdversarialTraining


class AdversarialPhase:
    """Keeps the last averaged weights: PSNR falls by design here, so it cannot choose among them."""

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
        self._generator, self._settings, self._fabric = generator, settings, fabric
        self._features, self._patches, self._validation = features, patches, validation
        features.module.to(fabric.device)
        self.modules = {"generator": generator, "discriminator": discriminator}
        self._wrapped, self.optimisers = {}, {}
        for name, module in self.modules.items():
            self._wrapped[name], self.optimisers[name] = self._set_up(module)
        self.average = MovingAverage(generator, settings.ema)

    def step(self, step: int) -> dict[str, Tensor]:
        low, high = self._patches.batch(step)
        for module in self.modules.values():
            module.train()
        fake = self._wrapped["generator"](low)
        losses = self._improve_generator(fake, high)
        losses["discriminator_loss"] = self._improve_discriminator(fake.detach(), high)
        self.average.update()
        return losses

    def validate(self) -> dict[str, float]:
        return score_on(self._generator, self.average.state, self._validation, self._fabric)

    def _set_up(self, module: nn.Module) -> tuple[nn.Module, Optimizer]:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        adam = Adam(module.parameters(), self._settings.rate, betas=(0.9, self._settings.beta2), fused=True)
        wrapped, optimiser = self._fabric.setup(module, prepare_rates(adam))
        return wrapped, optimiser

    def _improve_generator(self, fake: Tensor, high: Tensor) -> dict[str, Tensor]:
        settings, judge = self._settings, self._wrapped["discriminator"]
        self.modules["discriminator"].requires_grad_(False)
        real = judge(high) if settings.relativistic else high.new_zeros(0)
        adversarial = generator_loss(real, judge(fake), settings.relativistic)
        content = self._content(fake, high)
        pixel = pixel_loss(fake, high, "l1")
        total = (
            settings.pixel_weight * pixel
            + settings.content_weight * content
            + settings.adversarial_weight * adversarial
        )
        self._descend("generator", total)
        self.modules["discriminator"].requires_grad_(True)
        return {"pixel_loss": pixel, "content_loss": content, "adversarial_loss": adversarial, "generator_loss": total}

    def _improve_discriminator(self, fake: Tensor, high: Tensor) -> Tensor:
        judge = self._wrapped["discriminator"]
        loss = discriminator_loss(judge(high), judge(fake), self._settings.relativistic)
        self._descend("discriminator", loss)
        return loss

    def _content(self, fake: Tensor, high: Tensor) -> Tensor:
        with self._fabric.autocast():
            with torch.no_grad():
                wanted = self._features.extract(high)
            found = self._features.extract(fake)
        distance = F.l1_loss if self._settings.relativistic else F.mse_loss  # ESRGAN uses L1, SRGAN the square
        return distance(found.float(), wanted.float())

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        self.optimisers[name].step()


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
    """The sharpest alpha whose PSNR on validation patients is within the allowed cost of the best, and every score."""
    scores = {
        str(alpha): score_on(network, interpolated(pixel, adversarial, alpha), validation, fabric)
        for alpha in settings.interpolation
    }
    best = max(score["validation_psnr_db"] for score in scores.values())
    allowed = best - settings.interpolation_cost_db
    chosen = max(alpha for alpha in settings.interpolation if scores[str(alpha)]["validation_psnr_db"] >= allowed)
    return chosen, scores
