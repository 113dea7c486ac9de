"""The model as MLflow serves it: models-from-code, weights in safetensors, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext
from numpy.typing import NDArray

from components.learning.weights import load_weights


class Network(PythonModel):  # type: ignore[misc]
    """Any network of ours: images `(B, 1, H, W)` in [0, 1] in; sharpened images, or class probabilities, out."""

    def load_context(self, context: PythonModelContext) -> None:
        self._network, self._config = load_weights(Path(context.artifacts["model"]))

    # MLflow reads these hints, and of arrays knows the bare type alone
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        with torch.inference_mode():
            output = self._network(torch.from_numpy(np.ascontiguousarray(model_input, dtype=np.float32)))
        result: NDArray[np.float32] = (output.softmax(1) if "classes" in self._config else output).numpy()
        return result


mlflow.models.set_model(Network())
