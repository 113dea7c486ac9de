"""The model as MLflow serves it: models-from-code, weights in safetensors, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext
from numpy.typing import NDArray

from components.handover import read_json
from components.learning.weights import CONFIG, load_weights


class Network(PythonModel):  # type: ignore[misc]
    """Any network of ours: images `(B, C, H, W)` in [0, 1] in; sharpened images, or class probabilities, out."""

    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["model"])
        self._reader = None
        if "network" in read_json(folder / CONFIG) and "reading" not in read_json(folder / CONFIG):
            self._network, _ = load_weights(folder)
            return
        from components.readers import load_any_reader  # which wants more than a generator's environment has

        self._reader = load_any_reader(folder)

    # MLflow reads these hints, and of arrays knows the bare type alone
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        images = np.ascontiguousarray(model_input, dtype=np.float32)
        if self._reader:
            positive = self._reader.probabilities(images).astype(np.float32)
            return np.stack([1 - positive, positive], 1)
        with torch.inference_mode():
            result: NDArray[np.float32] = self._network(torch.from_numpy(images)).numpy()
        return result


mlflow.models.set_model(Network())
