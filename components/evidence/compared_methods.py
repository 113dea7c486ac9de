"""Who is scored: bicubic, this run's generators, the champion before it, and other programs' images."""

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
RESERVED = (*METHODS, CHAMPION, LEADER, "original", "input")  # what tables, pages and pictures call things by


@dataclass(frozen=True)
class Method:
    """`sharpen` gives `(1, 1, H, W)` float32 in about [0, 1], on the CPU. What is not known of its cost is 0."""

    name: str
    sharpen: Callable[[Pair], Tensor]
    parameters: int = 0
    weights_bytes: int = 0
    train_seconds: float = 0.0


def compared_methods(
    layout: Layout, rows: list[PreparedRow], scale: int, device: torch.device
) -> tuple[list[Method], dict[str, str], list[str]]:
    """Everyone, bicubic first; the record of the champion, empty where there is none; what was left out, and why.

    Raises `StepError` where a generator saw an image of `rows`. A champion that cannot be compared is left out, and its
    record says under `left_out` why; so is a folder below `data/outside` that does not hold an image for each row, as
    where new ones are held out since.
    """
    found = [bicubic(scale)]
    for name in GENERATORS:
        folder = layout.model(name)
        found.append(trained(name, folder, rows, scale, device, read_record(folder / RECORD).seconds))
    record = champion_record(layout.champion)
    if record:
        try:
            found.append(trained(CHAMPION, layout.champion, rows, scale, device))
        except StepError as error:
            record["left_out"] = str(error)
    others, left_out = external_methods(layout.external_images, rows)
    return found + others, record, left_out


def bicubic(scale: int) -> Method:
    return Method("bicubic", _of_input(bicubic_upscale(scale)))


def trained(
    name: str, folder: Path, rows: list[PreparedRow], scale: int, device: torch.device, train_seconds: float = 0.0
) -> Method:
    """The generator in `folder`. Raises `StepError` where it is of another scale or saw an image of `rows`."""
    network, config = load_weights(folder)
    own = config["network"].get("scale")
    if own != scale:
        raise StepError(f"{folder}: expected a generator of scale {scale}, found {own}. Score it on images of its own.")
    check_unseen(folder, config, rows, "Split and train again.")
    sharpen = _of_input(network_upscale(network, scale, device))
    return Method(name, sharpen, _count(network), (folder / WEIGHTS).stat().st_size, train_seconds)


def external_methods(folder: Path, rows: list[PreparedRow]) -> tuple[list[Method], list[str]]:
    """One for each folder of images in `folder`, by name, and which were left out, why, and what to do about it."""
    found, left_out = [], []
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        if place.is_dir():
            try:
                found.append(external_method(place.name, place, rows))
            except StepError as error:
                left_out.append(f"{error}\n  {REMEDY}")
    return found, left_out


def external_method(name: str, folder: Path, rows: list[PreparedRow]) -> Method:
    """Raises `StepError` where `name` is one of ours, or `folder` does not hold an image for each of `rows`."""
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
    """Which version lies in `folder`, empty where none does."""
    path = folder / CHAMPION_RECORD
    return dict(read_json(path)) if path.is_file() else {}


def _of_input(upscale: Upscale) -> Callable[[Pair], Tensor]:
    return lambda pair: upscale(pair.low.unsqueeze(0))


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
