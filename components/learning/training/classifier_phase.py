"""Training of the classifier: DenseNet-201 on labelled images that are augmented on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from components.learning.augmentation import augmented, mixed
from components.learning.datasets.labelled import LabelledImages
from components.learning.inference.classifier import logits_of
from components.learning.metrics.ranking import auroc
from components.learning.training.accumulation import GradientAccumulation, MicroBatch
from components.learning.training.optimisation import MovingAverage, compiled
from components.learning.training.trainer import prepare_rates
from components.params.trainings import ClassifierTraining

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class ClassifierPhase:
    """Keeps the weights with the lowest cross-entropy on validation patients."""

    criterion = "validation_log_likelihood"

    def __init__(
        self,
        network: nn.Module,
        settings: ClassifierTraining,
        fabric: Fabric,
        training: LabelledImages,
        validation: LabelledImages,
        seed: int,
    ) -> None:
        self._settings, self._fabric, self._seed = settings, fabric, seed
        self._accumulation = GradientAccumulation(fabric, settings.accumulate)
        self._images, self._labels = training.images.to(fabric.device), training.labels.to(fabric.device)
        self._training_labels = training.labels.numpy()
        self._validation = validation
        counts = torch.bincount(training.labels, minlength=2).clamp(min=1)
        self._class_weights = (len(training.labels) / (2 * counts)).to(fabric.device)  # inverse to class frequency
        self._network = network = self._accumulation.prepared(network)
        self._body: list[nn.Parameter] = [p for group in network.by_depth()[:-1] for p in group]  # type: ignore[operator]
        optimiser = _adam(network, settings)
        self._wrapped, self._optimiser = fabric.setup(compiled(network, settings.compile), optimiser)
        self.modules = {"classifier": network}
        self.optimisers: dict[str, Optimizer] = {"classifier": self._optimiser}
        self.average = MovingAverage(network, settings.ema)

    def step(self, step: int) -> dict[str, Tensor]:
        """Trains the head alone, on fixed features, for the first `head_steps`; then the whole network."""
        head_alone = step < self._settings.head_steps
        self._network.train(not head_alone)
        self._optimiser.zero_grad(set_to_none=True)
        images, targets = self._batch(step)
        loss = torch.stack(
            [self._micro_batch(images, targets, micro_batch) for micro_batch in self._accumulation.micro_batches()]
        ).sum()
        if head_alone:
            for parameter in self._body:
                parameter.grad = None  # the optimiser skips it
        self._optimiser.step()
        self.average.update()
        return {"cross_entropy": loss}

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The whole batch of a step, images and targets (N, classes), in every process.

        It depends on seed and step alone.
        """
        settings, random = self._settings, np.random.default_rng((self._seed, step))
        labels = self._training_labels
        if settings.balance == "sampling":
            per_image = 1 / np.bincount(labels, minlength=2)[labels]
            chosen = random.choice(len(labels), settings.batch_size, p=per_image / per_image.sum())
        else:
            chosen = random.choice(len(labels), settings.batch_size)
        indices = torch.from_numpy(chosen).to(self._fabric.device)
        targets = F.one_hot(self._labels[indices], 2).float()
        targets = targets * (1 - settings.label_smoothing) + settings.label_smoothing / 2
        images = augmented(self._images[indices], settings.augmentation, random)
        return mixed(images, targets, settings.mixup, random)

    def _micro_batch(self, images: Tensor, targets: Tensor, micro_batch: MicroBatch) -> Tensor:
        part = torch.arange(len(targets), device=targets.device).tensor_split(micro_batch.parts)[micro_batch.part]
        weighted = targets * self._class_weights if self._settings.balance == "weights" else targets
        with self._accumulation.no_sync(self._wrapped, micro_batch):
            logits = self._wrapped(images[part].contiguous(memory_format=torch.channels_last)).float()
            loss = -(weighted[part] * logits.log_softmax(1)).sum()
            return self._accumulation.backward(loss * micro_batch.parts / weighted.sum())

    def validate(self) -> dict[str, float]:
        current = {key: value.detach().clone() for key, value in self._network.state_dict().items()}
        self._network.load_state_dict(self.average.state)
        settings, images = self._settings, self._validation.images
        logits = logits_of(self._network, images, self._fabric.device, settings.augmentation, 1, self._seed)
        self._network.load_state_dict(current)
        likelihood = -float(F.cross_entropy(logits, self._validation.labels))
        truth = self._validation.labels.bool().numpy()
        scores = logits.softmax(1)[:, 1].numpy()
        return {"validation_log_likelihood": likelihood, "validation_auroc": auroc(truth, scores)}


def _adam(network: nn.Module, settings: ClassifierTraining) -> Optimizer:
    """Learning rates fall geometrically from the head to the stem; biases and batch norm have no weight decay."""
    depths = network.by_depth()  # type: ignore[operator]
    groups = []
    for depth, parameters in enumerate(depths):
        share = settings.first_layer_rate_factor ** (1 - depth / (len(depths) - 1))
        for decayed in (True, False):
            group = [parameter for parameter in parameters if (parameter.ndim > 1) == decayed]
            decay = settings.weight_decay if decayed else 0.0
            groups.append({"params": group, "lr": settings.learning_rate * share, "weight_decay": decay})
    return prepare_rates(AdamW(groups, betas=(0.9, settings.beta2), fused=True))
