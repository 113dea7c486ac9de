"""Trains one network: `python -m components.train NAME` writes `data/models/NAME`.

Needs only torch, torchvision, numpy, PyYAML, safetensors and Fabric; MLflow is used where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from components.handover import Layout, RunRecord, StepError, fingerprint, write_record
from components.handover.names import HISTORY, RECORD
from components.learning.device import best_device, usable_precision
from components.learning.training.checkpoint import Checkpoints, remove_checkpoint
from components.learning.training.progress import ConsoleReporter, write_history
from components.learning.training.recipes import TrainingContext, build_job, data_digest, start_digest
from components.learning.training.trainer import Plan, Progress, Reporter, fit
from components.learning.weights import save_weights
from components.params import Params
from components.params.run_step import run_step
from components.params.trainings import ClassicalTraining, ClassifierTraining, NetworkTraining

REGISTERED = "models:/"
DEVICES = "MEDSR_DEVICES"  # how many train together; not a setting, because it does not change the result


def run(layout: Layout, params: Params, name: str, tracked: bool = True) -> RunRecord | None:
    """Trains `name` with its section of `params`, from its checkpoint if it was interrupted, and writes its folder.

    With `MEDSR_DEVICES` above 1, that many processes share each batch. The first one writes and reports; the others
    give `None`.
    """
    started, settings = time.monotonic(), _settings(params, name)
    fabric = _fabric(settings)
    torch.manual_seed(params.seed)  # after the launch: every process draws the same first weights
    context = TrainingContext(layout, params, fabric, _own_weights(layout, settings))
    job = build_job(context, settings)
    data = data_digest(layout, settings)
    owner = fingerprint(name, asdict(settings), params.seed, data, start_digest(context, settings))
    plan = Plan(settings.steps, settings.schedule, settings.validate_every, settings.checkpoint_every)
    is_main = fabric.is_global_zero
    with _tracking(layout, name, settings, data, params, tracked and is_main) as run_:
        reporters = _Reporters(*([ConsoleReporter(name)] if is_main else []), *([run_] if run_ else []))
        progress = fit(job.phase, plan, Checkpoints(layout.checkpoints(name), owner, writes=is_main), reporters)
        if not is_main:
            return None
        state, config = job.finish(progress)
        folder = layout.model(name)
        digest = save_weights(folder, state, _described(name, settings, config, progress, fabric))
        write_history(folder / HISTORY, progress.history)
        seconds = round(time.monotonic() - started, 1)
        run_id, model_id = run_.finish(folder) if run_ else ("", "")
        record = RunRecord(
            name=name,
            run_id=run_id,
            model_id=model_id,
            weights_sha256=digest,
            data_sha256=data,
            git_revision=run_.git_revision if run_ else "",
            seconds=seconds,
        )
        write_record(folder / RECORD, record)
    remove_checkpoint(layout.checkpoints(name))
    return record


def _settings(params: Params, name: str) -> NetworkTraining:
    trainings = {key: training for key, training in params.train.items() if not isinstance(training, ClassicalTraining)}
    if name not in trainings:
        raise StepError(f"train {name}: expected one of {', '.join(trainings)}. Add a section to params.yaml.")
    return trainings[name]


def _own_weights(layout: Layout, settings: NetworkTraining) -> Path | None:
    """The folder of this project's weights that the classifier starts from; a registered version is fetched."""
    if not isinstance(settings, ClassifierTraining):
        return None
    if settings.weights.startswith(REGISTERED):
        from components.adapters.logged_models import fetch

        return fetch(layout, settings.weights)
    folder = Path(settings.weights)
    return folder if settings.weights and folder.is_dir() else None


def _fabric(settings: NetworkTraining) -> Fabric:
    """Fabric on the best device, or on `MEDSR_DEVICES` of them with a process each, which it starts."""
    device = best_device()
    precision = usable_precision(settings.precision, device)
    if precision != settings.precision:
        print(f"{settings.precision} is not to be had on this processor: training in {precision}")
    devices = _devices()
    strategy = DDPStrategy(forward_sync_buffers=False) if devices > 1 else "auto"
    fabric = Fabric(accelerator="auto", devices=devices, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def _devices() -> int:
    count = os.environ.get(DEVICES, "1")
    if not count.isdecimal() or int(count) < 1:
        raise StepError(f"{DEVICES}: expected how many devices train together, 1 or more, found {count!r}.")
    return int(count)


def _described(
    name: str, settings: NetworkTraining, config: dict[str, Any], progress: Progress, fabric: Fabric
) -> dict[str, Any]:
    return config | {
        "name": name,
        "training": asdict(settings),
        "device": fabric.device.type,
        "kept_step": progress.best_step,
        "validation": progress.best_scores,
    }


class _Reporters:
    """Passes losses and scores on to several reporters."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        for reporter in self._reporters:
            reporter.losses(step, steps, losses)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        for reporter in self._reporters:
            reporter.scores(step, scores)


def _tracking(
    layout: Layout, name: str, settings: NetworkTraining, data: str, params: Params, tracked: bool
) -> AbstractContextManager[Any]:
    if not tracked or importlib.util.find_spec("mlflow") is None:
        print("this training is not tracked: MLflow is not asked for, or not installed")
        return nullcontext(None)
    from components.adapters.training_runs import track

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
