"""The recipes: what each trains, what it starts from, and which weights and configuration it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from components.handover import (
    CLASSIFIER,
    LabelledRow,
    Layout,
    PreparedRow,
    folder_digest,
    read_rows,
    sha256_of,
)
from components.handover.names import CONFIG, INDEX, TRAINED_ON, WEIGHTS
from components.learning.datasets.labelled import LabelledImages, classes_of, load_labelled
from components.learning.datasets.pairs import Pair, load_pairs
from components.learning.inference.calibration import temperature_of, threshold_for
from components.learning.inference.classifier import InferenceSettings, logits_of, positive_probabilities
from components.learning.models import build
from components.learning.synthetic.generated_images import MAKES, generated_images, with_generated
from components.learning.training.adversarial_phase import AdversarialPhase, choose_interpolation, interpolated
from components.learning.training.classifier_phase import ClassifierPhase
from components.learning.training.features import make_features
from components.learning.training.generative_phase import GenerativePhase
from components.learning.training.patches import Patches
from components.learning.training.pixel_phase import PixelPhase
from components.learning.training.start import imagenet, start_from
from components.learning.training.trainer import Phase, Progress
from components.learning.weights import load_weights
from components.params import Params
from components.params.trainings import (
    AdversarialTraining,
    ClassifierTraining,
    GenerativeTraining,
    NetworkTraining,
    PixelTraining,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class TrainingJob:
    """A training ready to start; `finish` turns its end into the weights and configuration that are kept."""

    phase: Phase
    finish: Callable[[Progress], tuple[dict[str, Tensor], dict[str, Any]]]


@dataclass(frozen=True)
class TrainingContext:
    """The input of every kind of training; `start` is the folder of this project's weights a classifier starts from."""

    layout: Layout
    params: Params
    fabric: Fabric
    start: Path | None


def build_job(context: TrainingContext, settings: NetworkTraining) -> TrainingJob:
    """The training of `settings`. Raises `StepError` where its data or its start cannot be used."""
    match settings:
        case PixelTraining():
            return _pixel(context, settings)
        case AdversarialTraining():
            return _adversarial(context, settings)
        case ClassifierTraining():
            return _classifier(context, settings)
        case GenerativeTraining():
            return _generative(context, settings)
        case _:
            raise TypeError(f"no training for {type(settings).__name__}")


def _pixel(context: TrainingContext, settings: PixelTraining) -> TrainingJob:
    network = build(settings.network, scale=settings.scale)
    training, validation = _pairs(context, settings)
    trained_on = {pair.row.image_id for pair in training}
    if settings.start:
        rows = read_rows(context.layout.super_resolution / INDEX, PreparedRow)
        trained_on.update(start_from(network, Path(settings.start), "start", rows))
        print(f"starts from the weights in {settings.start}")
    phase = PixelPhase(network, settings, context.fabric, _patches(context, settings, training), validation)
    prepare = context.params.prepare
    config = {
        "network": {**settings.network, "scale": settings.scale},
        "percentiles": [prepare.percentile_low, prepare.percentile_high],
        TRAINED_ON: sorted(trained_on),
    }
    return TrainingJob(phase, lambda progress: (progress.best_state, config))


def _adversarial(context: TrainingContext, settings: AdversarialTraining) -> TrainingJob:
    start = context.layout.model(settings.generator)
    network, start_config = load_weights(start)
    pixel = {key: value.clone() for key, value in network.state_dict().items()}
    features = make_features(
        settings.features, settings.features_path, settings.features_substitute, context.layout.model(CLASSIFIER)
    )
    print(f"content loss on {features.origin}")
    training, validation = _pairs(context, settings)
    trained_on = {pair.row.image_id for pair in training} | set(start_config[TRAINED_ON])
    discriminator = build(settings.discriminator)
    patches = _patches(context, settings, training)
    phase = AdversarialPhase(network, discriminator, features, settings, context.fabric, patches, validation)

    def finish(progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
        alpha, scores = choose_interpolation(network, pixel, progress.best_state, settings, validation, context.fabric)
        print(f"interpolation {alpha} chosen on validation patients")
        interpolation = {"alpha": alpha, "scores": scores}
        config = {key: start_config[key] for key in ("network", "percentiles")}
        config |= {"features": features.origin, "interpolation": interpolation, TRAINED_ON: sorted(trained_on)}
        return interpolated(pixel, progress.best_state, alpha), config

    return TrainingJob(phase, finish)


def _classifier(context: TrainingContext, settings: ClassifierTraining) -> TrainingJob:
    folder, device, prepare = context.layout.classification, context.fabric.device, context.params.prepare
    classes = classes_of(folder)
    training, validation = _sides(folder, classes)
    trained_on = {row.image_id for row in training.rows}
    if settings.generated:
        generated = generated_images(context.layout.model(settings.generated), training, validation, device)
        training = with_generated(training, generated)
        added = f"{len(generated.kept)} images of {classes[generated.label]} made by {settings.generated}"
        print(f"{added}; {int(generated.check.copies.sum())} left out, because they copy a patient")
    network = build(settings.network, classes=len(classes))
    start = settings.weights
    if context.start:
        rows = read_rows(folder / INDEX, LabelledRow)
        trained_on.update(start_from(network, context.start, "train.classifier.weights", rows))
    else:
        start = imagenet(network, settings.weights)
    print(f"classifier starts from {start}")
    phase = ClassifierPhase(network, settings, context.fabric, training, validation, context.params.seed)
    percentiles, channels = (prepare.percentile_low, prepare.percentile_high), training.images.shape[1]

    def finish(progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
        network.load_state_dict(progress.best_state)
        test_time = (settings.augmentation, settings.views, context.params.seed)
        logits = logits_of(network, validation.images, device, *test_time)
        temperature = temperature_of(logits, validation.labels)
        scores = positive_probabilities(logits, temperature)
        threshold = threshold_for(settings.sensitivity, validation.labels.bool().numpy(), scores)
        inference = InferenceSettings(classes, settings.size, channels, percentiles, *test_time, temperature, threshold)
        return progress.best_state, {
            "network": {**settings.network, "classes": len(classes)},
            "classes": list(classes),
            "start": start,
            TRAINED_ON: sorted(trained_on),
            "reading": inference.described(),
        }

    return TrainingJob(phase, finish)


def _generative(context: TrainingContext, settings: GenerativeTraining) -> TrainingJob:
    folder, seed = context.layout.classification, context.params.seed
    classes = classes_of(folder)
    training, validation = _sides(folder, classes)
    sizes = {"classes": len(classes), "size": training.images.shape[-1]}
    networks = build(settings.network, **sizes), build(settings.discriminator, **sizes)
    phase = GenerativePhase(*networks, settings, context.fabric, training, validation, seed)
    smaller = int(2 * training.labels.sum() <= len(training.labels))  # the positive class where both have equally many
    config = {
        "network": {**settings.network, **sizes},
        "classes": list(classes),
        MAKES: {"label": smaller, "images": settings.images, "seed": seed},
        TRAINED_ON: sorted(row.image_id for row in training.rows),
    }
    return TrainingJob(phase, lambda progress: (progress.best_state, config))


def _sides(folder: Path, classes: tuple[str, ...]) -> tuple[LabelledImages, LabelledImages]:
    return load_labelled(folder, "train", classes), load_labelled(folder, "validation", classes)


def _pairs(context: TrainingContext, settings: PixelTraining | AdversarialTraining) -> tuple[list[Pair], list[Pair]]:
    folder = context.layout.super_resolution
    return load_pairs(folder, "train", settings.scale), load_pairs(folder, "validation", settings.scale)


def _patches(context: TrainingContext, settings: PixelTraining | AdversarialTraining, pairs: list[Pair]) -> Patches:
    seed, device = context.params.seed, context.fabric.device
    return Patches(pairs, settings.scale, settings.patch_size, settings.batch_size, seed, device)


def data_digest(layout: Layout, settings: NetworkTraining) -> str:
    """The digest of the prepared images that `settings` train on."""
    labelled = isinstance(settings, ClassifierTraining | GenerativeTraining)
    return folder_digest(layout.classification if labelled else layout.super_resolution)


def start_digest(context: TrainingContext, settings: NetworkTraining) -> str:
    """The digest of the weights that the training starts from, and of its generator of images."""
    layout = context.layout
    match settings:
        case PixelTraining(start=folder) if folder:
            return sha256_of(Path(folder) / WEIGHTS)
        case AdversarialTraining(generator=name):
            return sha256_of(layout.model(name) / WEIGHTS)
        case ClassifierTraining(weights=name, generated=generated):
            files = [layout.model(generated) / file for file in (WEIGHTS, CONFIG)] if generated else []
            start = [context.start / WEIGHTS if context.start else Path(name)] if name else []
            return "".join(sha256_of(path) for path in files + start)
        case _:
            return ""
