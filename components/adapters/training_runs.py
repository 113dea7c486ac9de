"""MLflow's side of a training: its run, with settings, curves, scores and pictures."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.adapters.logged_models import log_model
from components.adapters.tracking import (
    DEFAULT_EXPERIMENT,
    EXPERIMENTS,
    Unreachable,
    connect,
    initialise,
    reached,
)
from components.handover import Layout, RunRecord, read_json
from components.handover.methods import training_stage
from components.handover.names import CONFIG, HISTORY

PAUSE = 10.0  # times as long as it waited in vain, a training leaves MLflow alone: it loses a tenth of its time at most
BATCH = 1000  # points, as many as MLflow takes
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
RECORDED = "recorded_sha256"  # tag of a run that was made from a model's folder and is whole: digest of the weights


class TrackedRun:
    """A training's MLflow run. It takes losses and scores as a `Reporter` does.

    While MLflow does not answer, values are kept and sent later. No call raises for that or waits for long. `run_id` is
    empty where MLflow did not answer at the start of the training.
    """

    def __init__(self, layout: Layout, run_id: str, git_revision: str) -> None:
        self._layout, self.run_id, self.git_revision = layout, run_id, git_revision
        self._unsent: list[Any] = []
        self._retry_at, self._away = 0.0, False

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        self._log(step, losses)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        self._log(step, scores)

    def finish(self, folder: Path) -> tuple[str, str]:
        """Logs the model in `folder`. Gives its run's id and its own, which is empty where MLflow does not answer."""
        try:
            if self.run_id:
                with reached(self._layout):
                    self._send()
                    return self.run_id, log_model(connect(self._layout), folder)
        except Unreachable as error:
            print(error)
        print(f"{folder.name}: not recorded by MLflow yet; `medsr run` does it from {folder} when it registers")
        return self.run_id, ""

    def end(self, status: str) -> None:
        """Ends the run. An `Unreachable` is printed, not raised."""
        mlflow = connect(self._layout)
        try:
            with reached(self._layout):
                mlflow.end_run(status)
        except Unreachable as error:
            print(f"the run {self.run_id} is not ended: {error}")

    def _log(self, step: int, values: dict[str, float]) -> None:
        if not self.run_id:
            return  # recorded as a whole, from the model's folder
        from mlflow.entities import Metric

        time_ms = int(1000 * time.time())
        self._unsent += [Metric(name, float(value), time_ms, step) for name, value in values.items()]
        began = time.monotonic()
        if began < self._retry_at:
            return
        try:
            with reached(self._layout):
                self._send()
        except Unreachable as error:
            if not self._away:
                print(f"{error} The training goes on and keeps what it has to tell.")
            self._away = True
            self._retry_at = time.monotonic() + PAUSE * (time.monotonic() - began)
        else:
            if self._away:
                print("MLflow answers again and has been told everything")
            self._away = False

    def _send(self) -> None:
        client = connect(self._layout).MlflowClient()
        while self._unsent:
            client.log_batch(self.run_id, metrics=self._unsent[:BATCH])
            del self._unsent[:BATCH]


@contextmanager
def track(layout: Layout, name: str, settings: Mapping[str, Any], data_sha256: str) -> Iterator[TrackedRun]:
    """A run named `name` for the length of the block. It ends as failed where the block raises.

    Where MLflow does not answer, the block runs all the same, and a message says so.
    """
    try:
        run = _start(layout, name, settings, data_sha256, git_revision(layout.root))
    except Unreachable as error:
        print(f"{error} The training goes on untracked.")
        yield TrackedRun(layout, "", git_revision(layout.root))
        return
    try:
        yield run
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")


def _start(layout: Layout, name: str, settings: Mapping[str, Any], data_sha256: str, revision: str) -> TrackedRun:
    """Starts a run with its parameters. `revision` is the commit of the training. Raises `Unreachable`."""
    from mlflow.exceptions import MlflowException

    initialise(layout)
    mlflow = connect(layout)
    tags = {
        "data_sha256": data_sha256,
        "git_revision": revision,
        "dvc_stage": os.environ.get("DVC_STAGE", training_stage(name)),
    }
    with reached(layout):
        mlflow.set_experiment(EXPERIMENTS.get(name, DEFAULT_EXPERIMENT))
        run = mlflow.start_run(run_name=name, tags=tags)
        try:
            mlflow.log_params(flattened(settings))
        except MlflowException:
            with suppress(MlflowException):
                mlflow.end_run("FAILED")
            raise
    return TrackedRun(layout, run.info.run_id, revision)


def restore(layout: Layout, record: RunRecord) -> RunRecord:
    """`record` where MLflow still has its run and model; else a record of both, logged again from the model's folder.

    They can be missing: DVC took the stage from its cache, MLflow did not answer, or its database was lost. A run that
    was logged again is found again. Raises `Unreachable`.
    """
    with reached(layout):
        return _known(layout, record) or _recorded_again(layout, record)


def _known(layout: Layout, record: RunRecord) -> RunRecord | None:
    """`record` with the ids of a run and model that MLflow has whole, or `None`."""
    from mlflow.exceptions import MlflowException

    mlflow = connect(layout)
    if record.run_id and record.model_id:
        try:
            mlflow.get_run(record.run_id)
            mlflow.get_logged_model(record.model_id)
            return record
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
    experiments = [EXPERIMENTS.get(record.name, DEFAULT_EXPERIMENT)]
    query = f"tags.{RECORDED} = '{record.weights_sha256}' and attributes.run_name = '{record.name}'"
    runs = mlflow.search_runs(experiment_names=experiments, filter_string=query, output_format="list")
    for run in runs:
        for model in run.outputs.model_outputs:
            return replace(record, run_id=run.info.run_id, model_id=model.model_id)
    return None


def _recorded_again(layout: Layout, record: RunRecord) -> RunRecord:
    from mlflow.exceptions import MlflowException

    print(f"{record.name}: MLflow has no run {record.run_id or '(none)'} with its model; recording it from data/models")
    mlflow, folder = connect(layout), layout.model(record.name)
    settings = read_json(folder / CONFIG)["training"]
    run = _start(layout, record.name, settings, record.data_sha256, record.git_revision)
    try:
        mlflow.set_tag("restored_from", record.run_id or "an untracked training")
        _log_history(mlflow, folder / HISTORY)
        model_id = log_model(mlflow, folder)
        mlflow.set_tag(RECORDED, record.weights_sha256)  # the last: a run that lacks it is not whole
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")
    if record.run_id and not record.model_id:  # MLflow went away in the middle of it
        with suppress(MlflowException):
            mlflow.MlflowClient().set_tag(record.run_id, "recorded_as", run.run_id)
            mlflow.MlflowClient().set_terminated(record.run_id, "KILLED")
    return replace(record, run_id=run.run_id, model_id=model_id)


def log_evaluation(
    layout: Layout, run_id: str, digest: str, metrics: Mapping[str, float], artifacts: list[Path]
) -> None:
    """Logs held-out scores and the files that show them to a training's run, once for each `digest` of the scores."""
    client = connect(layout).MlflowClient()
    if client.get_run(run_id).data.tags.get("evaluation_sha256") == digest:
        return
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    for path in artifacts:
        client.log_artifact(run_id, str(path), "evaluation")
    client.set_tag(run_id, "evaluation_sha256", digest)


def _log_history(mlflow: Any, path: Path) -> None:
    import csv

    with path.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            values = {key: float(value) for key, value in row.items() if value and key != "step"}
            mlflow.log_metrics(values, step=int(row["step"]))


def git_revision(root: Path) -> str:
    """The commit checked out at `root`, with `-dirty` where files differ from it; empty outside git."""
    command = ["git", "-C", str(root.resolve()), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, `network.channels` for the inner ones."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
