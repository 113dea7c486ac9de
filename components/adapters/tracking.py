"""MLflow's side of a training: its run, its curves, its pictures, its model."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from components.handover import Layout, RunRecord, StepError, read_json
from components.handover.methods import CLASSIFIERS, GENERATIVE, training_stage
from components.handover.names import CONFIG, DATABASE, HISTORY

EXPERIMENTS = dict.fromkeys((*CLASSIFIERS, GENERATIVE), "classification")
DEFAULT_EXPERIMENT = "super-resolution"
PYFUNC = Path(__file__).with_name("pyfunc_model.py")
REQUIREMENTS = ("torch", "torchvision", "numpy", "safetensors", "PyYAML")
# one question to a server that is away takes 5 s to fail, not MLflow's four minutes; with no answer at all 100 s
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
PRIVACY = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # MLflow reads it once, when it is imported
PAUSE = 10.0  # times as long as it waited in vain, a training leaves MLflow alone: it loses a tenth of its time at most
TOLD_AT_ONCE = 1000  # points, as many as MLflow takes
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
RECORDED = "recorded_sha256"  # tag of a run that was made from a model's folder and is whole: digest of the weights
OF_MAKERS = ("lightning-fabric",)
OF_CLASSIFIERS = ("scikit-image", "scikit-learn", "scipy", "PyWavelets", "rich")


class Unreachable(StepError):
    """MLflow's server, or its database, does not answer or does not take what it is told."""


def connect(layout: Layout) -> Any:
    """MLflow, pointed at `MLFLOW_TRACKING_URI` or, where that is not set, at `mlruns/mlflow.db`."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # our files are small, its bars are many
    for name, value in (PATIENCE | PRIVACY).items():
        os.environ.setdefault(name, value)
    import mlflow

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # `reached` says it, without a traceback
    wanted = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(wanted or f"sqlite:///{(layout.mlruns / DATABASE).resolve()}")
    if wanted is None:
        os.environ.pop(
            "MLFLOW_TRACKING_URI", None
        )  # MLflow sets it, and would make our default look like a user's wish
    return mlflow


@contextmanager
def reached(layout: Layout) -> Iterator[None]:
    """Raises `Unreachable`, which says where MLflow is and what to do, for whatever MLflow raises in the block."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        address, said = connect(layout).get_tracking_uri(), str(error).partition("\n")[0].rstrip(".")
        message = (
            f"MLflow at {address}: expected it to take what it is told, found: {said}. Nothing that was trained is "
            "lost. See that it runs and that nobody holds its database; then `medsr run` records and registers."
        )
        raise Unreachable(re.sub(r"//[^/@\s]*@", "//", message)) from error  # without a password


def initialise(layout: Layout) -> None:
    """Makes the database and the experiments once: a new SQLite file does not stand four makers at a time.

    Raises `Unreachable`.
    """
    mlflow = connect(layout)
    layout.mlruns.mkdir(parents=True, exist_ok=True)
    with reached(layout):
        for name in {DEFAULT_EXPERIMENT, *EXPERIMENTS.values()}:
            if mlflow.get_experiment_by_name(name) is None:
                mlflow.create_experiment(name, artifact_location=_artifacts(layout))


class TrackedRun:
    """A training's MLflow run; told of losses and scores as a `Reporter` is.

    Where MLflow is away, what it is told is kept and sent once it answers. No call raises for that, or waits for long.
    `run_id` is empty where MLflow was away when the training began.
    """

    def __init__(self, layout: Layout, run_id: str, git_revision: str) -> None:
        self._layout, self.run_id, self.git_revision = layout, run_id, git_revision
        self._kept: list[Any] = []
        self._not_before, self._away = 0.0, False

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        self._tell(step, losses)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        self._tell(step, scores)

    def finish(self, folder: Path) -> tuple[str, str]:
        """Keeps the model in `folder` with the run; gives the ids of both, none of the model where MLflow is away."""
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
        """Ends the run. An `Unreachable` is told, not raised."""
        mlflow = connect(self._layout)
        try:
            with reached(self._layout):
                mlflow.end_run(status)
        except Unreachable as error:
            print(f"the run {self.run_id} is not ended: {error}")

    def _tell(self, step: int, values: dict[str, float]) -> None:
        if not self.run_id:
            return  # recorded as a whole, from the model's folder
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._kept += [Metric(name, float(value), now, step) for name, value in values.items()]
        began = time.monotonic()
        if began < self._not_before:
            return
        try:
            with reached(self._layout):
                self._send()
        except Unreachable as error:
            if not self._away:
                print(f"{error} The training goes on and keeps what it has to tell.")
            self._away = True
            self._not_before = time.monotonic() + PAUSE * (time.monotonic() - began)
        else:
            if self._away:
                print("MLflow answers again and has been told everything")
            self._away = False

    def _send(self) -> None:
        client = connect(self._layout).MlflowClient()
        while self._kept:
            client.log_batch(self.run_id, metrics=self._kept[:TOLD_AT_ONCE])
            del self._kept[:TOLD_AT_ONCE]


@contextmanager
def track(layout: Layout, name: str, settings: Mapping[str, Any], data_sha256: str) -> Iterator[TrackedRun]:
    """A run named `name` for the length of the block; it ends as failed where the block does.

    Where MLflow is away the block runs all the same, and that is said.
    """
    try:
        run = _begun(layout, name, settings, data_sha256, git_revision(layout.root))
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


def _begun(layout: Layout, name: str, settings: Mapping[str, Any], data_sha256: str, revision: str) -> TrackedRun:
    """A run that has begun, with its parameters; `revision` is the commit of the training. Raises `Unreachable`."""
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
    """`record` as it is where MLflow still knows its run and model; else both made again from the model's folder.

    A stage that DVC took from its cache makes no run, MLflow can have been away while one ran, and its database can be
    lost while the cache is not. What was made again is found again. Raises `Unreachable`.
    """
    with reached(layout):
        return _known(layout, record) or _made_again(layout, record)


def _known(layout: Layout, record: RunRecord) -> RunRecord | None:
    """`record` with the ids of a run and a model that MLflow has whole."""
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
    wanted = f"tags.{RECORDED} = '{record.weights_sha256}' and attributes.run_name = '{record.name}'"
    runs = mlflow.search_runs(experiment_names=experiments, filter_string=wanted, output_format="list")
    for run in runs:
        for model in run.outputs.model_outputs:
            return replace(record, run_id=run.info.run_id, model_id=model.model_id)
    return None


def _made_again(layout: Layout, record: RunRecord) -> RunRecord:
    from mlflow.exceptions import MlflowException

    print(f"{record.name}: MLflow has no run {record.run_id or '(none)'} with its model; recording it from data/models")
    mlflow, folder = connect(layout), layout.model(record.name)
    settings = read_json(folder / CONFIG)["training"]
    run = _begun(layout, record.name, settings, record.data_sha256, record.git_revision)
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


def fetch(layout: Layout, uri: str) -> Path:
    """The folder of the model at `uri`, `models:/NAME@ALIAS` or `models:/NAME/VERSION`: weights and configuration.

    A copy, wherever MLflow keeps its artifacts; it goes when this process ends.
    """
    from mlflow.exceptions import MlflowException

    mlflow = connect(layout)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=mkdtemp(dir=_fetched().name)))
    except MlflowException as error:
        raise StepError(f"{uri}: expected a registered model, {error}. See `medsr models list`.") from error
    found = sorted(folder.glob("artifacts/*/weights.safetensors"))
    if len(found) != 1:
        raise StepError(f"{uri}: expected one weights.safetensors, found {len(found)}.")
    return found[0].parent


@lru_cache(maxsize=1)
def _fetched() -> TemporaryDirectory[str]:
    """One for all that this process fetches. MLflow's own copies would stay: thousands a year, of an hourly run."""
    return TemporaryDirectory(prefix="medsr-models-", ignore_cleanup_errors=True)


def log_evaluation(
    layout: Layout, run_id: str, digest: str, metrics: Mapping[str, float], artifacts: list[Path]
) -> None:
    """Puts held-out scores and the files that show them with a training's run, once for each `digest` of the scores."""
    client = connect(layout).MlflowClient()
    if client.get_run(run_id).data.tags.get("evaluation_sha256") == digest:
        return
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    for path in artifacts:
        client.log_artifact(run_id, str(path), "evaluation")
    client.set_tag(run_id, "evaluation_sha256", digest)


def log_model(mlflow: Any, folder: Path) -> str:
    """Logs the folder as a models-from-code pyfunc, weights as safetensors; gives the model's id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about examples and type hints: the signature says it all
        info = mlflow.pyfunc.log_model(
            name=folder.name,
            python_model=str(PYFUNC),
            artifacts={"model": str(folder)},
            code_paths=[str(Path(__file__).parents[1])],
            signature=_signature(folder),
            pip_requirements=_requirements(folder.name),
        )
    return str(info.model_id)


def _signature(folder: Path) -> Any:
    """What `pyfunc_model.py` takes and gives: a classifier its own channels, what makes images their labels."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    config, floats = read_json(folder / CONFIG), np.dtype(np.float32)
    grey = TensorSpec(floats, (-1, 1, -1, -1))
    if folder.name == GENERATIVE:
        return ModelSignature(Schema([TensorSpec(np.dtype(np.int64), (-1,))]), Schema([grey]))
    if folder.name not in CLASSIFIERS:
        return ModelSignature(Schema([grey]), Schema([grey]))
    channels = (config.get("inference") or config["classical"])["channels"]
    images, probabilities = TensorSpec(floats, (-1, channels, -1, -1)), TensorSpec(floats, (-1, -1))
    return ModelSignature(Schema([images]), Schema([probabilities]))


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


def _log_history(mlflow: Any, path: Path) -> None:
    import csv

    with path.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            values = {key: float(value) for key, value in row.items() if value and key != "step"}
            mlflow.log_metrics(values, step=int(row["step"]))


def _requirements(name: str) -> list[str]:
    from importlib.metadata import version

    wanted = REQUIREMENTS + (OF_CLASSIFIERS if name in CLASSIFIERS else OF_MAKERS if name == GENERATIVE else ())
    return [f"{name}=={version(name).split('+')[0]}" for name in wanted]


def _artifacts(layout: Layout) -> str | None:
    """Where a local store keeps artifacts; a server decides for itself."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else (layout.mlruns / "artifacts").resolve().as_uri()
