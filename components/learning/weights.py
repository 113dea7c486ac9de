"""A trained network as two files: `weights.safetensors` and the `config.json` that rebuilds it. Never a pickle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from components.handover import LabelledRow, PreparedRow, Replacing, StepError, read_json, sha256_of, write_json
from components.handover.names import CONFIG, TRAINED_ON, WEIGHTS
from components.learning.models import build


def save_weights(folder: Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """Writes both files and returns the weights' SHA-256. `config["network"]` is what `build` takes."""
    with Replacing(folder / WEIGHTS) as temporary:
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary)
    write_json(folder / CONFIG, dict(config))
    return sha256_of(folder / WEIGHTS)


def load_weights(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network in `folder` with its weights, in evaluation mode, and its configuration."""
    config = read_json(folder / CONFIG)
    try:
        network = build(config["network"])
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (FileNotFoundError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise StepError(f"{folder}: expected {WEIGHTS} that fit {CONFIG}; {error}. Train this model again.") from error
    return network.eval(), config


def check_unseen(
    folder: Path, config: dict[str, Any], held_out: Collection[PreparedRow | LabelledRow], remedy: str
) -> None:
    """Raises `StepError` naming the images of `held_out` that the weights in `folder` were trained on."""
    if TRAINED_ON not in config:
        raise StepError(f"{folder}: does not say which images its weights were trained on. Train it again.")
    leaked = sorted({row.image_id for row in held_out} & set(config[TRAINED_ON]))
    if leaked:
        raise StepError(
            f"{folder}: expected weights that saw no held-out image, found {', '.join(leaked)} among those they were "
            f"trained on. {remedy}"
        )
