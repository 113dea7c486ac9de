"""MLflow's address, and the error for an MLflow that does not answer."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.handover import Layout, StepError
from components.handover.methods import CLASSIFIERS, GENERATIVE
from components.handover.names import DATABASE

EXPERIMENTS = dict.fromkeys((*CLASSIFIERS, GENERATIVE), "classification")
DEFAULT_EXPERIMENT = "super-resolution"
# one question to a server that is away takes 5 s to fail, not MLflow's four minutes; with no answer at all 100 s
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
PRIVACY = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # MLflow reads it once, when it is imported


class Unreachable(StepError):
    """MLflow's server or database does not answer, or does not store what it is sent."""


def connect(layout: Layout) -> Any:
    """MLflow, pointed at `MLFLOW_TRACKING_URI` or, where that is not set, at `mlruns/mlflow.db`."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # our files are small, its bars are many
    for name, value in (PATIENCE | PRIVACY).items():
        os.environ.setdefault(name, value)
    import mlflow

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # `reached` says it, without a traceback
    configured_uri = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(configured_uri or f"sqlite:///{(layout.mlruns / DATABASE).resolve()}")
    if configured_uri is None:
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
        address, reason = connect(layout).get_tracking_uri(), str(error).partition("\n")[0].rstrip(".")
        message = (
            f"MLflow at {address}: expected it to take what it is told, found: {reason}. Nothing that was trained is "
            "lost. See that it runs and that nobody holds its database; then `medsr run` records and registers."
        )
        raise Unreachable(re.sub(r"//[^/@\s]*@", "//", message)) from error  # without a password


def initialise(layout: Layout) -> None:
    """Makes the database and the experiments once, because four processes at once would break a new SQLite file.

    Raises `Unreachable`.
    """
    mlflow = connect(layout)
    layout.mlruns.mkdir(parents=True, exist_ok=True)
    with reached(layout):
        for name in {DEFAULT_EXPERIMENT, *EXPERIMENTS.values()}:
            if mlflow.get_experiment_by_name(name) is None:
                mlflow.create_experiment(name, artifact_location=_artifacts(layout))


def _artifacts(layout: Layout) -> str | None:
    """Where a local store keeps artifacts; a server decides for itself."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else (layout.mlruns / "artifacts").resolve().as_uri()
