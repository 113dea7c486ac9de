"""A classical classifier: images in, calibrated probabilities out, rebuilt from its folder alone. Never a pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from components.classical.centroids import Centroids
from components.classical.deep import Deep, deep_from
from components.classical.denoising import denoised
from components.classical.handmade import Handmade
from components.classical.head import Head, head_from
from components.handover import Replacing, StepError, read_json, sha256_of, write_json
from components.handover.names import CONFIG, WEIGHTS
from components.params.trainings import Denoiser

Extractor = Handmade | Deep | Centroids
SECTION = "classical"  # key in `config.json` that only a classical classifier has


@dataclass(frozen=True)
class ClassicalClassifier:
    """A feature extractor, the head that classifies its features, and the settings both need."""

    extractor: Extractor
    head: Head
    classes: tuple[str, ...]  # the negative class first
    size: int  # pixels a side
    channels: int
    percentiles: tuple[float, float]  # of an image's values: mapped to 0 and 1
    denoise: Denoiser
    threshold: float  # an image with this probability or more is positive

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of the positive class, (N,), for `images` (N, channels, size, size) in [0, 1]."""
        return self.head.probabilities(measure(self.extractor, images, self.denoise))


def measure(extractor: Extractor, images: NDArray[np.float32], denoise: Denoiser) -> NDArray[np.float64]:
    """Features (N, features) of `images` (N, channels, rows, columns) in [0, 1]; colour is averaged to grey."""
    grey = images.mean(1)
    return np.stack(
        [extractor.features(denoised(image, denoise)) for image in track(grey, "features", disable=len(grey) < 100)]
    )


def save_classifier(folder: Path, classifier: ClassicalClassifier, config: dict[str, Any]) -> str:
    """Writes `weights.safetensors` and `config.json`; returns the weights' SHA-256."""
    tensors = {f"head.{name}": value for name, value in classifier.head.tensors().items()}
    tensors |= {f"extractor.{name}": value for name, value in classifier.extractor.tensors().items()}
    with Replacing(folder / WEIGHTS) as temporary:
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, temporary)
    fields = {
        name: getattr(classifier, name)
        for name in ("classes", "size", "channels", "percentiles", "denoise", "threshold")
    }
    write_json(folder / CONFIG, config | {SECTION: fields | {"extractor": _extractor_config(classifier.extractor)}})
    return sha256_of(folder / WEIGHTS)


def load_classical(folder: Path) -> ClassicalClassifier:
    """The classifier in `folder`. Raises `StepError` where it holds none."""
    try:
        fields = dict(read_json(folder / CONFIG)[SECTION])
        tensors = load_file(folder / WEIGHTS)
        head = head_from(_tensors_under("head.", tensors))
        extractor = _extractor_from(fields.pop("extractor"), _tensors_under("extractor.", tensors))
        fields["classes"], fields["percentiles"] = tuple(fields["classes"]), tuple(fields["percentiles"])
        return ClassicalClassifier(extractor, head, **fields)
    except (FileNotFoundError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise StepError(
            f"{folder}: expected {WEIGHTS} that fit {CONFIG}; {error}. Train this classifier again."
        ) from error


def _extractor_config(extractor: Extractor) -> dict[str, Any]:
    match extractor:
        case Handmade(region):
            return {"kind": "handmade", "region": region}
        case Deep(_, settings):
            return {"kind": "deep", "network": settings}
        case Centroids():
            return {"kind": "centroids"}
        case _:
            raise TypeError(f"expected an extractor, found {type(extractor).__name__}")


def _extractor_from(config: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Extractor:
    match config["kind"]:
        case "handmade":
            return Handmade(config["region"])
        case "deep":
            return deep_from(config["network"], tensors)
        case "centroids":
            return Centroids(**tensors)
        case kind:
            raise ValueError(f"expected handmade, deep or centroids, found {kind!r}")


def _tensors_under(prefix: str, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
