"""Any trained reader from its folder, whichever way it reads."""

from __future__ import annotations

from pathlib import Path

from components.classical.reader import SECTION, ClassicalReader, load_classical
from components.handover import read_json
from components.handover.names import CONFIG
from components.learning.inference.classifier import Reader, load_reader

AnyReader = Reader | ClassicalReader


def load_any_reader(folder: Path) -> AnyReader:
    """The reader in `folder`. Raises `StepError` where it holds none."""
    return load_classical(folder) if SECTION in read_json(folder / CONFIG) else load_reader(folder)
