"""Models in MLflow: logged from a model's folder, fetched into one."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from components.adapters.tracking import connect
from components.handover import Layout, StepError, read_json
from components.handover.methods import CLASSIFIERS, GENERATIVE
from components.handover.names import CONFIG

PYFUNC = Path(__file__).with_name("pyfunc_model.py")
REQUIREMENTS = ("torch", "torchvision", "numpy", "safetensors", "PyYAML")
OF_GENERATIVE = ("lightning-fabric",)
OF_CLASSIFIERS = ("scikit-image", "scikit-learn", "scipy", "PyWavelets", "rich")


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
    """The input and output of `pyfunc_model.py`. A classifier has its own channels; a generative model takes labels."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    config, floats = read_json(folder / CONFIG), np.dtype(np.float32)
    grey = TensorSpec(floats, (-1, 1, -1, -1))
    if folder.name == GENERATIVE:
        return ModelSignature(Schema([TensorSpec(np.dtype(np.int64), (-1,))]), Schema([grey]))
    if folder.name not in CLASSIFIERS:
        return ModelSignature(Schema([grey]), Schema([grey]))
    channels = (config.get("reading") or config["classical"])["channels"]
    images, probabilities = TensorSpec(floats, (-1, channels, -1, -1)), TensorSpec(floats, (-1, -1))
    return ModelSignature(Schema([images]), Schema([probabilities]))


def _requirements(name: str) -> list[str]:
    from importlib.metadata import version

    packages = REQUIREMENTS + (OF_CLASSIFIERS if name in CLASSIFIERS else OF_GENERATIVE if name == GENERATIVE else ())
    return [f"{package}=={version(package).split('+')[0]}" for package in packages]


def fetch(layout: Layout, uri: str) -> Path:
    """The folder of the model at `uri`, `models:/NAME@ALIAS` or `models:/NAME/VERSION`: weights and configuration.

    It is a copy, which is removed when this process ends.
    """
    from mlflow.exceptions import MlflowException

    mlflow = connect(layout)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=mkdtemp(dir=_fetched().name)))
    except MlflowException as error:
        raise StepError(f"{uri}: expected a registered model, {error}. See `medsr models list`.") from error
    weights = sorted(folder.glob("artifacts/*/weights.safetensors"))
    if len(weights) != 1:
        raise StepError(f"{uri}: expected one weights.safetensors, found {len(weights)}.")
    return weights[0].parent


@lru_cache(maxsize=1)
def _fetched() -> TemporaryDirectory[str]:
    """One folder for all models that this process fetches. MLflow's own copies would stay for ever."""
    return TemporaryDirectory(prefix="medsr-models-", ignore_cleanup_errors=True)
