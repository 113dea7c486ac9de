"""Training of the class-conditional DCGAN that makes more labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from components.learning.augmentation import augmented
from components.learning.datasets.labelled import LabelledImages
from components.learning.synthetic.sampling import draw_noise, sample_images
from components.learning.training.accumulation import GradientAccumulation, MicroBatch
from components.learning.training.losses import discriminator_loss, generator_loss
from components.learning.training.optimisation import MovingAverage, compiled
from components.learning.training.trainer import prepare_rates
from components.params.trainings import GenerativeTraining

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LIKENESS_SIDE = 16  # pixels a side, to which images are averaged before likeness is measured


class GenerativePhase:
    """Keeps the averaged weights whose images are most like the validation patients'."""

    criterion = "validation_likeness"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        settings: GenerativeTraining,
        fabric: Fabric,
        training: LabelledImages,
        validation: LabelledImages,
        seed: int,
    ) -> None:
        self._settings, self._fabric, self._seed = settings, fabric, seed
        self._accumulation = GradientAccumulation(fabric, settings.accumulate)
        self._images = training.images.mean(1, keepdim=True).to(fabric.device)  # generated images are grey
        self._labels = training.labels.to(fabric.device)
        self._validation = validation
        self.modules: dict[str, nn.Module] = {}
        self.optimisers: dict[str, Optimizer] = {}
        self._wrapped: dict[str, nn.Module] = {}
        for name, module in (("generator", generator), ("discriminator", discriminator)):
            self._set_up(name, self._accumulation.prepared(module))
        self.average = MovingAverage(self.modules["generator"], settings.ema)

    def _set_up(self, name: str, module: nn.Module) -> None:
        settings = self._settings
        adam = Adam(module.parameters(), settings.learning_rate, betas=(settings.beta1, settings.beta2), fused=True)
        self.modules[name] = module
        self._wrapped[name], self.optimisers[name] = self._fabric.setup(
            compiled(module, settings.compile), prepare_rates(adam)
        )

    def step(self, step: int) -> dict[str, Tensor]:
        """Trains the generator, then the discriminator on its images. All draws depend on seed and step alone."""
        random = np.random.default_rng((self._seed, step))
        indices = torch.from_numpy(random.choice(len(self._labels), self._settings.batch_size)).to(self._fabric.device)
        noise = draw_noise(random, len(indices), self.modules["generator"].latent, self._fabric.device)  # type: ignore[arg-type]
        augmentation_seed = int(random.integers(2**32))
        for name, module in self.modules.items():
            module.train()
            self.optimisers[name].zero_grad(set_to_none=True)
        generated_batches, generator_losses = [], []
        for micro_batch in self._accumulation.micro_batches():
            part = torch.arange(len(indices)).tensor_split(micro_batch.parts)[micro_batch.part]
            real, labels = self._images[indices[part]], self._labels[indices[part]]
            with self._accumulation.no_sync(self._wrapped["generator"], micro_batch):
                generated = self._wrapped["generator"](noise[part], labels)
                generator_losses.append(self._improve_generator(generated, labels, augmentation_seed))
            generated_batches.append((micro_batch, real, generated.detach(), labels))
        self.optimisers["generator"].step()
        discriminator_losses = [self._improve_discriminator(*batch, augmentation_seed) for batch in generated_batches]
        self.optimisers["discriminator"].step()
        self.average.update()
        losses = {"generator_loss": generator_losses, "discriminator_loss": discriminator_losses}
        return {name: torch.stack(values).sum() for name, values in losses.items()}

    def _improve_generator(self, generated: Tensor, labels: Tensor, augmentation_seed: int) -> Tensor:
        """Adds the gradients of one micro-batch; the discriminator, without Fabric's wrapper, gets none."""
        discriminator = self.modules["discriminator"]
        discriminator.requires_grad_(False)
        with self._fabric.autocast():
            logits = discriminator(self._augmented(generated, augmentation_seed), labels)
        loss = self._accumulation.backward(generator_loss(logits.new_zeros(0), logits, relativistic=False))
        discriminator.requires_grad_(True)
        return loss

    def _improve_discriminator(
        self, micro_batch: MicroBatch, real: Tensor, generated: Tensor, labels: Tensor, augmentation_seed: int
    ) -> Tensor:
        discriminator = self._wrapped["discriminator"]
        with self._accumulation.no_sync(discriminator, micro_batch):
            logits = [discriminator(self._augmented(images, augmentation_seed), labels) for images in (real, generated)]
            return self._accumulation.backward(discriminator_loss(logits[0], logits[1], relativistic=False))

    def _augmented(self, images: Tensor, augmentation_seed: int) -> Tensor:
        """`images` as the discriminator sees them, real and generated ones augmented alike.

        With augmentation a few hundred patients suffice (Zhao et al. 2020, arXiv:2006.10738).
        """
        return augmented(images.float(), self._settings.augmentation, np.random.default_rng(augmentation_seed))

    def validate(self) -> dict[str, float]:
        generator, average = self.modules["generator"], self.average.state
        current = {key: value.detach().clone() for key, value in generator.state_dict().items()}
        generator.load_state_dict(average)
        generated = sample_images(generator, self._validation.labels, self._seed, self._fabric.device)
        generator.load_state_dict(current)
        return {"validation_likeness": likeness(generated, self._validation.images)}


def likeness(generated: Tensor, real: Tensor) -> float:
    """How alike two samples of images (N, 1, S, S) are: near 0 where they share a distribution, below where not.

    The negative squared maximum mean discrepancy, unbiased, with the cubic kernel (Bińkowski et al. 2018,
    arXiv:1801.01401), of images averaged to 16 x 16 pixels instead of a network's features.
    """
    x, y = (
        F.adaptive_avg_pool2d(images.double().mean(1, keepdim=True), LIKENESS_SIDE).flatten(1)
        for images in (generated, real)
    )
    within = sum(float((_kernel(z, z).sum() - _kernel(z, z).trace()) / (len(z) * (len(z) - 1))) for z in (x, y))
    return 2 * float(_kernel(x, y).mean()) - within


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
