"""The model as MLflow serves it: models-from-code, weights in safetensors, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext
from numpy.typing import NDArray

from components.learning.reading import reader_of
from components.learning.weights import load_weights


class Network(PythonModel):  # type: ignore[misc]
    """Any network of ours: images `(B, C, H, W)` in [0, 1] in; sharpened images, or class probabilities, out."""

    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["model"])
        self._network, config = load_weights(folder)
        self._reader = reader_of(self._network, config, folder.name) if "reading" in config else None

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
