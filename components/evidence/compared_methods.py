"""The compared methods: bicubic, this run's generators, the champion before it, and other programs' images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from components.evidence.external_images import ExternalImages
from components.handover import GENERATORS, METHODS, Layout, PreparedRow, StepError, read_json, read_record
from components.handover.methods import CHAMPION, LEADER
from components.handover.names import CHAMPION_RECORD, RECORD, WEIGHTS
from components.learning.datasets.pairs import Pair
from components.learning.inference.upscaling import Upscale, bicubic_upscale, network_upscale
from components.learning.weights import check_unseen, load_weights

REMEDY = "`medsr evaluate --write-inputs` writes today's inputs; sharpen them with it, or remove the folder."
RESERVED = (*METHODS, CHAMPION, LEADER, "original", "input")  # names that tables, pages and pictures use already


@dataclass(frozen=True)
class Method:
    """`sharpen` gives `(1, 1, H, W)` float32 in about [0, 1], on the CPU. A cost that is not known is 0."""

    name: str
    sharpen: Callable[[Pair], Tensor]
    parameters: int = 0
    weights_bytes: int = 0
    train_seconds: float = 0.0


def compared_methods(
    layout: Layout, rows: list[PreparedRow], scale: int, device: torch.device
) -> tuple[list[Method], dict[str, str], list[str]]:
    """The methods, bicubic first; the champion's record, empty without a champion; why other programs were left out.

    Raises `StepError` where a generator saw an image of `rows`. A champion that cannot be compared is left out, and its
    record tells why under `left_out`. A folder of external images is left out where it lacks an image for a row, as
    happens when new images are held out.
    """
    methods = [bicubic_method(scale)]
    for name in GENERATORS:
        folder = layout.model(name)
        methods.append(trained_method(name, folder, rows, scale, device, read_record(folder / RECORD).seconds))
    record = champion_record(layout.champion)
    if record:
        try:
            methods.append(trained_method(CHAMPION, layout.champion, rows, scale, device))
        except StepError as error:
            record["left_out"] = str(error)
    external, left_out = external_methods(layout.external_images, rows)
    return methods + external, record, left_out


def bicubic_method(scale: int) -> Method:
    return Method("bicubic", _on_input(bicubic_upscale(scale)))


def trained_method(
    name: str, folder: Path, rows: list[PreparedRow], scale: int, device: torch.device, train_seconds: float = 0.0
) -> Method:
    """The generator in `folder`. Raises `StepError` where its scale differs or it saw an image of `rows`."""
    network, config = load_weights(folder)
    network_scale = config["network"].get("scale")
    if network_scale != scale:
        raise StepError(
            f"{folder}: expected a generator of scale {scale}, found {network_scale}. Score it on images of its own."
        )
    check_unseen(folder, config, rows, "Split and train again.")
    sharpen = _on_input(network_upscale(network, scale, device))
    return Method(name, sharpen, _parameter_count(network), (folder / WEIGHTS).stat().st_size, train_seconds)


def external_methods(folder: Path, rows: list[PreparedRow]) -> tuple[list[Method], list[str]]:
    """A method for each folder of images in `folder`, by name; for each that was left out, why and the remedy."""
    methods, left_out = [], []
    for subfolder in sorted(folder.iterdir()) if folder.is_dir() else []:
        if subfolder.is_dir():
            try:
                methods.append(external_method(subfolder.name, subfolder, rows))
            except StepError as error:
                left_out.append(f"{error}\n  {REMEDY}")
    return methods, left_out


def external_method(name: str, folder: Path, rows: list[PreparedRow]) -> Method:
    """Raises `StepError` where `name` is reserved, or `folder` does not hold an image for each of `rows`."""
    check_name(name)
    return Method(name, ExternalImages(folder, rows))


def check_name(name: str) -> None:
    """Raises `StepError` where a method cannot be called `name`: it is reserved, or no word for tables and files."""
    if name.lower() in RESERVED or not name.replace("-", "").replace("_", "").isalnum():
        raise StepError(
            f"{name}: expected a name of letters, digits, - and _, and none of {', '.join(RESERVED)}. Choose another: "
            "--name, or rename the folder."
        )


def champion_record(folder: Path) -> dict[str, str]:
    """The record of the version in `folder`; empty where there is none."""
    path = folder / CHAMPION_RECORD
    return dict(read_json(path)) if path.is_file() else {}


def _on_input(upscale: Upscale) -> Callable[[Pair], Tensor]:
    return lambda pair: upscale(pair.low.unsqueeze(0))


def _parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
