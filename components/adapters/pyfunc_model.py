"""The model as MLflow serves it: models-from-code, weights in safetensors, no pickle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext
from numpy.typing import NDArray

from components.handover import read_json
from components.handover.names import CONFIG
from components.learning.weights import load_weights

Predict = Callable[[NDArray[Any]], NDArray[np.float32]]


class Network(PythonModel):  # type: ignore[misc]
    """Any model of ours: images `(B, C, H, W)` in [0, 1] in; sharpened images, or class probabilities, out.

    A generative network takes labels `(B,)`, whole numbers, and gives an image for each.
    """

    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["model"])
        config = read_json(folder / CONFIG)
        if "percentiles" in config:
            self._predictor = _sharpener(folder)
        else:
            self._predictor = _classifier(folder) if {"reading", "classical"} & {*config} else _generative(folder)

    # MLflow reads these hints, and of arrays knows the bare type alone
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        return self._predictor(model_input)


def _sharpener(folder: Path) -> Predict:
    network, _ = load_weights(folder)

    @torch.inference_mode()
    def predict(images: NDArray[Any]) -> NDArray[np.float32]:
        sharpened: NDArray[np.float32] = network(torch.from_numpy(_floats(images))).numpy()
        return sharpened

    return predict


# Packages of single kinds of model are imported in their functions: the environments of other models lack them.


def _generative(folder: Path) -> Predict:
    from components.learning.synthetic.generated_images import MAKES
    from components.learning.synthetic.sampling import sample_images

    network, config = load_weights(folder)
    seed, device = config[MAKES]["seed"], torch.device("cpu")
    return lambda labels: sample_images(network, torch.from_numpy(labels.astype(np.int64)), seed, device).numpy()


def _classifier(folder: Path) -> Predict:
    from components.classical.any_classifier import load_any_classifier

    classifier = load_any_classifier(folder)

    def predict(images: NDArray[Any]) -> NDArray[np.float32]:
        positive = classifier.probabilities(_floats(images)).astype(np.float32)
        return np.stack([1 - positive, positive], 1)

    return predict


def _floats(images: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(images, dtype=np.float32)


mlflow.models.set_model(Network())
