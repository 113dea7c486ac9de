"""The recipes: one frozen dataclass for every way to train, with what each setting means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from components.params.sections import at_least, share

Precision = Literal["32-true", "bf16-mixed"]
Schedule = Literal["constant", "cosine", "cosine_restarts", "halving", "tenth"]


@dataclass(frozen=True)
class PixelTraining:
    """SRCNN, SRResNet and RRDB, trained on a pixel loss alone."""

    recipe: Literal["pixel"]
    network: dict[str, Any]  # name and sizes; see components/learning/models
    scale: int
    loss: Literal["mse", "l1"]
    steps: int
    batch_size: int
    patch_size: int  # high-resolution pixels a side
    learning_rate: float
    last_layer_rate_factor: float  # as a share of `learning_rate`; SRCNN trains its last layer ten times slower
    beta2: float
    schedule: Schedule
    ema: float  # decay of the averaged weights; 0 turns averaging off
    precision: Precision
    validate_every: int  # steps
    checkpoint_every: int  # steps
    start: str = ""  # folder of weights to go on from, such as one of data/shared; empty: fresh ones
    accumulate: int = 1  # parts of a batch taken in turn, where the device cannot hold it at once
    compile: bool = False  # torch.compile: pays on a GPU over many steps; wants a C++ compiler

    def problems(self) -> Iterator[str]:
        yield from _training(self)
        yield from _patch(self)


@dataclass(frozen=True)
class AdversarialTraining:
    """SRGAN and ESRGAN: a pixel-trained generator goes on with a content and an adversarial loss."""

    recipe: Literal["adversarial"]
    generator: str  # the pixel training whose weights are the start
    discriminator: dict[str, Any]
    relativistic: bool  # Jolicoeur-Martineau's average loss (ESRGAN) instead of the plain one (SRGAN)
    pixel_weight: float
    content_weight: float
    adversarial_weight: float
    features: Literal["vgg19", "classifier", "random"]  # what the content loss compares
    features_path: str  # VGG19 weights; empty: torchvision's cache
    features_substitute: Literal["classifier", "random"]  # used, and said, where VGG19's weights are not there
    interpolation: tuple[float, ...]  # alphas tried on validation patients: (1 - alpha) pixel + alpha adversarial
    interpolation_cost_db: float  # PSNR that a sharper network may cost on validation patients
    scale: int
    steps: int
    batch_size: int
    patch_size: int
    learning_rate: float
    beta2: float
    schedule: Schedule
    ema: float
    precision: Precision
    validate_every: int
    checkpoint_every: int
    accumulate: int = 1  # a relativistic loss then compares within a turn
    compile: bool = False

    def problems(self) -> Iterator[str]:
        yield from _training(self)
        yield from _patch(self)
        if any(not 0 <= alpha <= 1 for alpha in self.interpolation):
            yield "interpolation: expected weights from 0 to 1"
        if self.interpolation_cost_db < 0:
            yield "interpolation_cost_db: expected 0 or more"


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images and of test-time views, on the device; 0 or false turns a part off."""

    rotation_degrees: float  # at most, either way
    shift: float  # share of a side, at most, either way
    scale: float  # share, larger or smaller, at most
    flip: bool  # left to right; false where the side matters: a heart on the right is another finding
    intensity: float  # share by which brightness and contrast change, at most
    noise: float  # standard deviation of Gaussian noise, share of the range

    def problems(self) -> Iterator[str]:
        yield from share(self, "shift", "scale", "intensity", "noise")
        if not 0 <= self.rotation_degrees <= 180:
            yield f"rotation_degrees: expected 0 to 180, found {self.rotation_degrees}"


@dataclass(frozen=True)
class ClassifierTraining:
    """DenseNet-201 on labelled images, in two steps: the head alone, then everything, early layers more slowly."""

    recipe: Literal["classifier"]
    network: dict[str, Any]  # name, sizes and input_channels; see components/learning/models
    weights: str  # to start from: a file of ImageNet's, a folder we wrote, models:/NAME@ALIAS; empty: torchvision's
    # cache, or from scratch, and it is said which
    size: int  # pixels a side
    steps: int
    head_steps: int  # the first of `steps`, in which only the head learns
    batch_size: int
    learning_rate: float  # of the head
    first_layer_rate_factor: float  # as a share of `learning_rate`; the layers between lie on a geometric series
    weight_decay: float
    beta2: float
    schedule: Schedule
    ema: float
    precision: Precision
    balance: Literal["weights", "sampling", "none"]  # against classes of unequal size
    label_smoothing: float
    mixup: float  # Beta(mixup, mixup) decides the mixture of two images; 0 turns it off
    augmentation: Augmentation
    views: int  # augmented predictions of an image that are averaged; 1 reads it once, as it is
    sensitivity: float  # wanted on validation patients; decides the threshold
    validate_every: int
    checkpoint_every: int
    accumulate: int = 1
    compile: bool = False
    generated: str = ""  # name of a generative training whose images join the training patients'

    def problems(self) -> Iterator[str]:
        yield from _training(self)
        yield from at_least(self, 28 if self.network.get("stem") == "small" else 32, "size")
        yield from at_least(self, 0, "head_steps", "mixup")
        yield from at_least(self, 1, "views")
        yield from share(self, "sensitivity", "label_smoothing")
        if not 0 < self.first_layer_rate_factor <= 1:
            yield f"first_layer_rate_factor: expected above 0, at most 1, found {self.first_layer_rate_factor}"
        if self.head_steps >= max(self.steps, 1):
            yield f"head_steps: expected less than steps ({self.steps}), found {self.head_steps}"


@dataclass(frozen=True)
class GenerativeTraining:
    """A class-conditional DCGAN (Radford, Metz & Chintala 2016) that makes more images of the smaller class."""

    recipe: Literal["generative"]
    network: dict[str, Any]  # the generator: name and sizes
    discriminator: dict[str, Any]
    images: int  # how many it makes in the end, all of the smaller class
    steps: int
    batch_size: int
    learning_rate: float
    beta1: float  # 0.5 as published
    beta2: float
    schedule: Schedule
    ema: float
    precision: Precision
    augmentation: Augmentation  # of what the discriminator sees, real and made alike
    validate_every: int
    checkpoint_every: int
    accumulate: int = 1
    compile: bool = False

    def problems(self) -> Iterator[str]:
        yield from _training(self)
        yield from at_least(self, 1, "images")
        if self.augmentation.intensity:
            yield "augmentation.intensity: expected 0, for its curve has no slope at black that could be learned from"


Region = Literal["whole", "body", "lungs"]
Denoiser = Literal["none", "nlm", "wavelet", "bm3d"]


@dataclass(frozen=True)
class ClassicalTraining:
    """Features made by hand, by a network, or by k-means; a support vector machine or a decision tree reads them."""

    recipe: Literal["classical"]
    features: Literal["handmade", "deep", "centroids"]
    denoise: Denoiser  # of every image, before anything else
    select: int  # features kept, those that tell most of the label by themselves; 0 keeps all
    components: float  # principal components: below 1 the share of variance, from 1 on how many; 0 turns it off
    model: Literal["svm", "tree"]
    candidates: tuple[float, ...]  # C of the machine, or depths of the tree; cross-validation chooses
    folds: int  # of that cross-validation, among training patients
    sensitivity: float  # as for the classifier
    region: Region = "whole"  # where hand-made intensity and texture are measured
    centroids: int = 0  # of k-means
    patch_size: int = 0  # pixels a side of what the centroids are found in

    def problems(self) -> Iterator[str]:
        yield from at_least(self, 0, "select", "components")
        yield from at_least(self, 2, "folds")
        yield from share(self, "sensitivity")
        if self.components >= 1 and self.components != int(self.components):
            yield f"components: expected a share below 1 or a whole number, found {self.components}"
        if not self.candidates or min(self.candidates) <= 0:
            yield f"candidates: expected one or more, above 0, found {list(self.candidates)}"
        if self.model == "tree" and any(depth != int(depth) for depth in self.candidates):
            yield f"candidates: expected depths of a tree, whole numbers, found {list(self.candidates)}"
        if self.features == "centroids":
            yield from at_least(self, 2, "centroids", "patch_size")


NetworkTraining = PixelTraining | AdversarialTraining | ClassifierTraining | GenerativeTraining
Training = NetworkTraining | ClassicalTraining
RECIPES: dict[str, type[Training]] = {
    "pixel": PixelTraining,
    "adversarial": AdversarialTraining,
    "classifier": ClassifierTraining,
    "generative": GenerativeTraining,
    "classical": ClassicalTraining,
}


def _training(section: Any) -> Iterator[str]:
    yield from at_least(section, 1, "steps", "batch_size", "validate_every", "checkpoint_every", "accumulate")
    if section.accumulate > 0 and section.batch_size % section.accumulate:
        yield f"batch_size: expected a multiple of accumulate ({section.accumulate}), found {section.batch_size}"
    if section.learning_rate <= 0:
        yield f"learning_rate: expected above 0, found {section.learning_rate}"
    if not 0 <= section.ema < 1:
        yield f"ema: expected from 0 to below 1, found {section.ema}"


def _patch(section: Any) -> Iterator[str]:
    if section.scale not in (2, 3, 4, 8):
        yield f"scale: expected 2, 3, 4 or 8, found {section.scale}"
    elif section.patch_size % section.scale or section.patch_size < 4 * section.scale:
        yield f"patch_size: expected a multiple of scale ({section.scale}), at least {4 * section.scale}"
