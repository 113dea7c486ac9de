"""Trains one network: `python -m components.train NAME` writes `data/models/NAME`.

Runs wherever torch, torchvision, numpy, PyYAML, safetensors and Fabric are; MLflow is asked only where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from components.command import run_step
from components.handover import (
    CLASSIFIER,
    LabelledRow,
    Layout,
    PreparedRow,
    RunRecord,
    StepError,
    read_rows,
    write_record,
)
from components.learning.adversarial_phase import AdversarialPhase, choose_interpolation, interpolated
from components.learning.calibration import temperature_of, threshold_for
from components.learning.checkpoint import Checkpoints, fingerprint, remove_checkpoint
from components.learning.classifier_phase import (
    ClassifierPhase,
    classes_of,
    load_labelled,
)
from components.learning.features import make_features
from components.learning.models import build
from components.learning.optimisation import usable_precision
from components.learning.patches import Pair, Patches, load_pairs
from components.learning.pixel_phase import PixelPhase
from components.learning.progress import ConsoleReporter, write_history
from components.learning.reading import Manner, logits_of, positive
from components.learning.start import TRAINED_ON, imagenet, start_from
from components.learning.trainer import Phase, Plan, Progress, Reporter, fit
from components.learning.weights import WEIGHTS, load_weights, save_weights, sha256_of
from components.params import Params
from components.trainings import (
    AdversarialTraining,
    ClassifierTraining,
    PixelTraining,
    Training,
)

REGISTERED = "models:/"
DEVICES = "MEDSR_DEVICES"  # of one training; not a setting, because it decides no result


@dataclass(frozen=True)
class Work:
    """A training ready to start, and what turns its end into the weights and configuration that are kept."""

    phase: Phase
    finish: Callable[[Progress], tuple[dict[str, Tensor], dict[str, Any]]]


@dataclass(frozen=True)
class Setting:
    """What every kind of training is given."""

    layout: Layout
    params: Params
    fabric: Fabric


def run(layout: Layout, params: Params, name: str, tracked: bool = True) -> RunRecord | None:
    """Trains `name` with its section of `params`, from its checkpoint if it was interrupted, and writes its folder.

    With `MEDSR_DEVICES` above 1 as many processes share each batch; the first of them writes and tells, the others
    give `None`.
    """
    if name not in params.train:
        raise StepError(f"train {name}: expected one of {', '.join(params.train)}. Add a section to params.yaml.")
    started, settings = time.monotonic(), params.train[name]
    fabric = _fabric(settings)
    torch.manual_seed(params.seed)  # after the launch: every process draws the same first weights
    work = _work(Setting(layout, params, fabric), settings)
    data = _data_digest(layout, settings)
    owner = fingerprint(name, asdict(settings), params.seed, data, _start_digest(layout, settings))
    plan = Plan(settings.steps, settings.schedule, settings.validate_every, settings.checkpoint_every)
    first = fabric.is_global_zero
    with _tracking(layout, name, settings, data, params, tracked and first) as run_:
        reporters = _Everyone(*([ConsoleReporter(name)] if first else []), *([run_] if run_ else []))
        progress = fit(work.phase, plan, Checkpoints(layout.checkpoints(name), owner, writes=first), reporters)
        if not first:
            return None
        state, config = work.finish(progress)
        folder = layout.model(name)
        digest = save_weights(folder, state, _described(name, settings, config, progress, fabric))
        write_history(folder / "history.csv", progress.history)
        seconds = round(time.monotonic() - started, 1)
        run_id, model_id = run_.finish(folder) if run_ else ("", "")
        record = RunRecord(name, run_id, model_id, digest, data, run_.git_revision if run_ else "", seconds)
        write_record(folder / "run.json", record)
    remove_checkpoint(layout.checkpoints(name))
    return record


def _fabric(settings: Training) -> Fabric:
    """The device, or the processes that `MEDSR_DEVICES` asks for, each on its own; they are started here."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = usable_precision(settings.precision, device)
    if precision != settings.precision:
        print(f"{settings.precision} is not to be had on this processor: training in {precision}")
    devices = _devices()
    strategy = DDPStrategy(forward_sync_buffers=False) if devices > 1 else "auto"
    fabric = Fabric(accelerator="auto", devices=devices, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def _devices() -> int:
    wanted = os.environ.get(DEVICES, "1")
    if not wanted.isdecimal() or int(wanted) < 1:
        raise StepError(f"{DEVICES}: expected how many devices train together, 1 or more, found {wanted!r}.")
    return int(wanted)


def _work(setting: Setting, settings: Training) -> Work:
    match settings:
        case PixelTraining():
            return _pixel(setting, settings)
        case AdversarialTraining():
            return _adversarial(setting, settings)
        case ClassifierTraining():
            return _classifier(setting, settings)
        case _:
            raise TypeError(f"no training for {type(settings).__name__}")


def _pixel(setting: Setting, settings: PixelTraining) -> Work:
    network = build(settings.network, scale=settings.scale)
    training, validation = _pairs(setting, settings)
    seen = {pair.row.image_id for pair in training}
    if settings.start:
        rows = read_rows(setting.layout.super_resolution / "index.csv", PreparedRow)
        seen.update(start_from(network, Path(settings.start), "start", rows))
        print(f"starts from the weights in {settings.start}")
    phase = PixelPhase(network, settings, setting.fabric, _patches(setting, settings, training), validation)
    prepare = setting.params.prepare
    config = {
        "network": {**settings.network, "scale": settings.scale},
        "percentiles": [prepare.percentile_low, prepare.percentile_high],
        TRAINED_ON: sorted(seen),
    }
    return Work(phase, lambda progress: (progress.best_state, config))


def _adversarial(setting: Setting, settings: AdversarialTraining) -> Work:
    start = setting.layout.model(settings.generator)
    network, start_config = load_weights(start)
    pixel = {key: value.clone() for key, value in network.state_dict().items()}
    features = make_features(
        settings.features, settings.features_path, settings.features_substitute, setting.layout.model(CLASSIFIER)
    )
    print(f"content loss on {features.origin}")
    training, validation = _pairs(setting, settings)
    seen = {pair.row.image_id for pair in training} | set(start_config[TRAINED_ON])
    discriminator = build(settings.discriminator)
    patches = _patches(setting, settings, training)
    phase = AdversarialPhase(network, discriminator, features, settings, setting.fabric, patches, validation)

    def finish(progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
        alpha, scores = choose_interpolation(network, pixel, progress.best_state, settings, validation, setting.fabric)
        print(f"interpolation {alpha} chosen on validation patients")
        chosen = {"alpha": alpha, "scores": scores}
        kept = {key: start_config[key] for key in ("network", "percentiles")}
        config = kept | {"features": features.origin, "interpolation": chosen, TRAINED_ON: sorted(seen)}
        return interpolated(pixel, progress.best_state, alpha), config

    return Work(phase, finish)


def _classifier(setting: Setting, settings: ClassifierTraining) -> Work:
    folder, device, prepare = setting.layout.classification, setting.fabric.device, setting.params.prepare
    classes = classes_of(folder)
    training, validation = (load_labelled(folder, split, classes) for split in ("train", "validation"))
    seen = {row.image_id for row in training.rows}
    network = build(settings.network, classes=len(classes))
    start, ours = settings.weights, _own_weights(setting.layout, settings)
    if ours:
        rows = read_rows(folder / "index.csv", LabelledRow)
        seen.update(start_from(network, ours, "train.classifier.weights", rows))
    else:
        start = imagenet(network, settings.weights)
    print(f"classifier starts from {start}")
    phase = ClassifierPhase(network, settings, setting.fabric, training, validation, setting.params.seed)
    percentiles, channels = (prepare.percentile_low, prepare.percentile_high), training.images.shape[1]

    def finish(progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
        network.load_state_dict(progress.best_state)
        asked = (settings.augmentation, settings.views, setting.params.seed)
        logits = logits_of(network, validation.images, device, *asked)
        temperature = temperature_of(logits, validation.labels)
        scores = positive(logits, temperature)
        threshold = threshold_for(settings.sensitivity, validation.labels.bool().numpy(), scores)
        manner = Manner(classes, settings.size, channels, percentiles, *asked, temperature, threshold)
        described = {"classes": list(classes), "start": start, TRAINED_ON: sorted(seen), "reading": manner.described()}
        return progress.best_state, {"network": {**settings.network, "classes": len(classes)}, **described}

    return Work(phase, finish)


def _own_weights(layout: Layout, settings: ClassifierTraining) -> Path | None:
    """The folder of a training of ours that the classifier starts from; a registered version is fetched."""
    if settings.weights.startswith(REGISTERED):
        from components.adapters.tracking import fetch

        return fetch(layout, settings.weights)
    folder = Path(settings.weights)
    return folder if settings.weights and folder.is_dir() else None


def _pairs(setting: Setting, settings: PixelTraining | AdversarialTraining) -> tuple[list[Pair], list[Pair]]:
    folder = setting.layout.super_resolution
    return load_pairs(folder, "train", settings.scale), load_pairs(folder, "validation", settings.scale)


def _patches(setting: Setting, settings: PixelTraining | AdversarialTraining, pairs: list[Pair]) -> Patches:
    seed, device = setting.params.seed, setting.fabric.device
    return Patches(pairs, settings.scale, settings.patch, settings.batch, seed, device)


def _described(
    name: str, settings: Training, config: dict[str, Any], progress: Progress, fabric: Fabric
) -> dict[str, Any]:
    return config | {
        "name": name,
        "training": asdict(settings),
        "device": fabric.device.type,
        "kept_step": progress.best_step,
        "validation": progress.best_scores,
    }


def _data_digest(layout: Layout, settings: Training) -> str:
    classifier = isinstance(settings, ClassifierTraining)
    folder = layout.classification if classifier else layout.super_resolution
    return fingerprint(*[(p.name, sha256_of(p)) for p in sorted(folder.iterdir())])


def _start_digest(layout: Layout, settings: Training) -> str:
    match settings:
        case PixelTraining(start=folder) if folder:
            return sha256_of(Path(folder) / WEIGHTS)
        case AdversarialTraining(generator=name):
            return sha256_of(layout.model(name) / WEIGHTS)
        case ClassifierTraining(weights=name) if name:
            ours = _own_weights(layout, settings)
            return sha256_of(ours / WEIGHTS if ours else Path(name))
        case _:
            return ""


class _Everyone:
    """Several who are told the same."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        for reporter in self._reporters:
            reporter.losses(step, steps, losses)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        for reporter in self._reporters:
            reporter.scores(step, scores)


def _tracking(
    layout: Layout, name: str, settings: Training, data: str, params: Params, wanted: bool
) -> AbstractContextManager[Any]:
    if not wanted or importlib.util.find_spec("mlflow") is None:
        print("this training is not tracked: MLflow is not asked for, or not installed")
        return nullcontext(None)
    from components.adapters.tracking import track

    return track(layout, name, {"profile": params.profile, "seed": params.seed, **asdict(settings)}, data)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m components.train", description=__doc__)
    parser.add_argument("name", help="which network: a name under train in params.yaml")
    parser.add_argument("--untracked", action="store_true", help="write the folder only, tell MLflow nothing")
    chosen = parser.parse_args(arguments)
    return run_step(lambda layout, params: _summary(run(layout, params, chosen.name, not chosen.untracked)))


def _summary(record: RunRecord | None) -> Iterator[str]:
    if record:
        yield f"{record.name}: {record.seconds:.0f} s, weights {record.weights_sha256[:12]}"


if __name__ == "__main__":
    raise SystemExit(main())
