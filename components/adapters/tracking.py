"""MLflow's side of a training: its run, its curves, its pictures, its model."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.handover import Layout, RunRecord, StepError, read_json
from components.reader_rows import GENERATIVE, READERS

EXPERIMENTS = dict.fromkeys((*READERS, GENERATIVE), "classification")
DEFAULT_EXPERIMENT = "super-resolution"
PYFUNC = Path(__file__).with_name("pyfunc_model.py")
REQUIREMENTS = ("torch", "torchvision", "numpy", "safetensors", "PyYAML")
OF_READERS = ("scikit-image", "scikit-learn", "scipy", "PyWavelets", "rich")


def connect(layout: Layout) -> Any:
    """MLflow, pointed at `MLFLOW_TRACKING_URI` or, where that is not set, at `mlruns/mlflow.db`."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # our files are small, its bars are many
    import mlflow

    wanted = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(wanted or f"sqlite:///{(layout.mlruns / 'mlflow.db').resolve()}")
    if wanted is None:
        os.environ.pop(
            "MLFLOW_TRACKING_URI", None
        )  # MLflow sets it, and would make our default look like a user's wish
    return mlflow


def initialise(layout: Layout) -> None:
    """Makes the database and the experiments once: a new SQLite file does not stand four makers at a time."""
    mlflow = connect(layout)
    layout.mlruns.mkdir(parents=True, exist_ok=True)
    for name in {DEFAULT_EXPERIMENT, *EXPERIMENTS.values()}:
        if mlflow.get_experiment_by_name(name) is None:
            mlflow.create_experiment(name, artifact_location=_artifacts(layout))


class TrackedRun:
    """One open MLflow run; told of losses and scores as a `Reporter` is."""

    def __init__(self, mlflow: Any, run_id: str, git_revision: str) -> None:
        self._mlflow, self.run_id, self.git_revision = mlflow, run_id, git_revision

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        self._mlflow.log_metrics(losses, step=step)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        self._mlflow.log_metrics(scores, step=step)

    def finish(self, folder: Path) -> tuple[str, str]:
        """Keeps the model in `folder` with the run; gives the ids of both."""
        return self.run_id, log_model(self._mlflow, folder)


@contextmanager
def track(layout: Layout, name: str, settings: Mapping[str, Any], data_sha256: str) -> Iterator[TrackedRun]:
    """A run named `name` for the length of the block; it ends as failed where the block does."""
    initialise(layout)
    mlflow = connect(layout)
    mlflow.set_experiment(EXPERIMENTS.get(name, DEFAULT_EXPERIMENT))
    revision = git_revision(layout.root)
    tags = {
        "data_sha256": data_sha256,
        "git_revision": revision,
        "dvc_stage": os.environ.get("DVC_STAGE", f"train@{name}"),
    }
    with mlflow.start_run(run_name=name, tags=tags) as run:
        mlflow.log_params(flattened(settings))
        yield TrackedRun(mlflow, run.info.run_id, revision)


def restore(layout: Layout, record: RunRecord) -> RunRecord:
    """`record` as it is where MLflow still knows its run and model; else both made again from the model's folder.

    A stage that DVC took from its cache makes no run, and an MLflow database can be lost while the cache is not.
    """
    from dataclasses import replace

    from mlflow.exceptions import MlflowException

    mlflow = connect(layout)
    try:
        mlflow.get_run(record.run_id)
        mlflow.get_logged_model(record.model_id)
        return record
    except MlflowException:
        print(f"{record.name}: MLflow has no run {record.run_id or '(none)'}; recording it from data/models")
    folder = layout.model(record.name)
    settings = read_json(folder / "config.json")["training"]
    with track(layout, record.name, settings, record.data_sha256) as run:
        mlflow.set_tag("restored_from", record.run_id or "an untracked training")
        _log_history(mlflow, folder / "history.csv")
        run_id, model_id = run.finish(folder)
    return replace(record, run_id=run_id, model_id=model_id)


def fetch(layout: Layout, uri: str) -> Path:
    """The folder of the model at `uri`, `models:/NAME@ALIAS` or `models:/NAME/VERSION`: weights and configuration."""
    from mlflow.exceptions import MlflowException

    mlflow = connect(layout)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri))
    except MlflowException as error:
        raise StepError(f"{uri}: expected a registered model, {error}. See `medsr models list`.") from error
    found = sorted(folder.glob("artifacts/*/weights.safetensors"))
    if len(found) != 1:
        raise StepError(f"{uri}: expected one weights.safetensors, found {len(found)}.")
    return found[0].parent


def log_evaluation(
    layout: Layout, run_id: str, digest: str, metrics: Mapping[str, float], artifacts: list[Path]
) -> None:
    """Puts held-out scores and the files that show them with a training's run, once for each `digest` of the scores."""
    client = connect(layout).MlflowClient()
    if client.get_run(run_id).data.tags.get("held_out_sha256") == digest:
        return
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    for path in artifacts:
        client.log_artifact(run_id, str(path), "evaluation")
    client.set_tag(run_id, "held_out_sha256", digest)


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
    """What `pyfunc_model.py` takes and gives: a reader its own channels, what makes images their labels."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    config, floats = read_json(folder / "config.json"), np.dtype(np.float32)
    grey = TensorSpec(floats, (-1, 1, -1, -1))
    if folder.name == GENERATIVE:
        return ModelSignature(Schema([TensorSpec(np.dtype(np.int64), (-1,))]), Schema([grey]))
    if folder.name not in READERS:
        return ModelSignature(Schema([grey]), Schema([grey]))
    channels = (config.get("reading") or config["classical"])["channels"]
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

    wanted = REQUIREMENTS + (OF_READERS if name in READERS else ())
    return [f"{name}=={version(name).split('+')[0]}" for name in wanted]


def _artifacts(layout: Layout) -> str | None:
    """Where a local store keeps artifacts; a server decides for itself."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else (layout.mlruns / "artifacts").resolve().as_uri()
