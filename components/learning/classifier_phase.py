"""Training of the reader: DenseNet-201 on labelled images, turned, shifted and flipped on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from components.handover import LabelledRow, StepError, read_rows
from components.learning.optimisation import MovingAverage, compiled
from components.learning.ranking import auroc
from components.learning.sharing import Sharing, Turn
from components.learning.trainer import prepare_rates
from components.params import ClassifierTraining

NEGATIVE = ("normal", "negative", "healthy", "0")  # a label that means nothing was found


@dataclass(frozen=True)
class LabelledImages:
    """One side of the split: `images` `(N, 1, S, S)` in [0, 1], `labels` `(N,)` 0 or 1, and their rows."""

    images: Tensor
    labels: Tensor
    rows: list[LabelledRow]


def load_labelled(folder: Path, split: str, classes: tuple[str, ...]) -> LabelledImages:
    """The labelled images of `split`; labels count from 0 in the order of `classes`."""
    table = read_rows(folder / "index.csv", LabelledRow)
    chosen = [i for i, row in enumerate(table) if row.split == split]
    if not chosen:
        raise StepError(f"{folder / 'index.csv'}: expected labelled images in the {split} split, found none.")
    images = torch.from_numpy(np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)[chosen])
    rows = [table[i] for i in chosen]
    unknown = sorted({row.label for row in rows} - set(classes))
    if unknown:
        raise StepError(
            f"{folder / 'index.csv'}: expected the labels {', '.join(classes)}, found {', '.join(unknown)}."
        )
    return LabelledImages(images, torch.tensor([classes.index(row.label) for row in rows]), rows)


def classes_of(folder: Path) -> tuple[str, ...]:
    """The two labels in the table, the negative one first. Raises `StepError` unless there are exactly two."""
    found = sorted({row.label for row in read_rows(folder / "index.csv", LabelledRow)})
    if len(found) != 2:
        raise StepError(f"{folder / 'index.csv'}: expected two labels, found {len(found)}: {', '.join(found)}.")
    return tuple(sorted(found, key=lambda label: (label.lower() not in NEGATIVE, label)))


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
        self._sharing = Sharing(fabric, settings.accumulate)
        self._images, self._labels = training.images.to(fabric.device), training.labels.to(fabric.device)
        self._validation = validation
        counts = torch.bincount(training.labels, minlength=2).clamp(min=1)
        self._class_weights = (counts.sum() / (2 * counts)).to(fabric.device)
        self._network = network = self._sharing.prepared(network)
        adam = AdamW(
            network.parameters(),
            settings.rate,
            betas=(0.9, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._wrapped, self._optimiser = fabric.setup(compiled(network, settings.compile), prepare_rates(adam))
        self.modules = {"classifier": network}
        self.optimisers: dict[str, Optimizer] = {"classifier": self._optimiser}
        self.average = MovingAverage(network, settings.ema)

    def step(self, step: int) -> dict[str, Tensor]:
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        images, labels = self._batch(step)
        loss = torch.stack([self._turn(images, labels, turn) for turn in self._sharing.turns()]).sum()
        self._optimiser.step()
        self.average.update()
        return {"cross_entropy": loss}

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The whole batch of a step, whoever learns from which part of it: it depends on seed and step alone."""
        random = np.random.default_rng((self._seed, step))
        chosen = torch.from_numpy(random.choice(len(self._labels), self._settings.batch)).to(self._fabric.device)
        return augmented(self._images[chosen], random), self._labels[chosen]

    def _turn(self, images: Tensor, labels: Tensor, turn: Turn) -> Tensor:
        mine = torch.arange(len(labels), device=labels.device).tensor_split(turn.parts)[turn.part]
        with self._sharing.quiet(self._wrapped, turn):
            logits = self._wrapped(images[mine]).float()
            loss = F.cross_entropy(logits, labels[mine], weight=self._class_weights, reduction="sum")
            return self._sharing.backward(loss * turn.parts / self._class_weights[labels].sum())

    def validate(self) -> dict[str, float]:
        own = {key: value.detach().clone() for key, value in self._network.state_dict().items()}
        self._network.load_state_dict(self.average.state)
        logits = logits_of(self._network, self._validation.images, self._fabric.device)
        self._network.load_state_dict(own)
        likelihood = -float(F.cross_entropy(logits, self._validation.labels))
        truth = self._validation.labels.bool().numpy()
        scores = logits.softmax(1)[:, 1].numpy()
        return {"validation_log_likelihood": likelihood, "validation_auroc": auroc(truth, scores)}


def augmented(images: Tensor, random: np.random.Generator) -> Tensor:
    """Each image turned up to 10 degrees, moved and scaled up to 6 %, its brightness up to 10 %.

    No mirroring: a heart on the right side is another finding.
    """
    count = len(images)
    angle = random.uniform(-10, 10, count) * math.pi / 180
    zoom = random.uniform(0.94, 1.06, count)
    shift = random.uniform(-0.06, 0.06, (count, 2)) * 2
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    affine = np.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], 1).reshape(count, 2, 3)
    grid = F.affine_grid(torch.from_numpy(affine).to(images), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    gain = torch.from_numpy(random.uniform(0.9, 1.1, (count, 1, 1, 1))).to(images)
    return (moved * gain).clamp(0, 1)


@torch.inference_mode()
def logits_of(network: nn.Module, images: Tensor, device: torch.device, batch: int = 64) -> Tensor:
    """Logits `(N, classes)` in float32 on the CPU; `images` are `(N, 1, S, S)`, read a batch at a time."""
    network.eval()
    return torch.cat([network(part.to(device)).float().cpu() for part in torch.split(images, batch)])


def threshold_for(sensitivity: float, truth: np.ndarray, scores: np.ndarray) -> float:
    """The highest threshold that still finds at least `sensitivity` of the positives; scores at it count as found."""
    positives = np.sort(scores[truth])[::-1]
    if not len(positives):
        raise StepError("expected positive cases among the validation patients to choose a threshold, found none.")
    return float(positives[max(0, math.ceil(sensitivity * len(positives)) - 1)])
