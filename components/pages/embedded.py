"""Files that a page takes in, and the refusal of one that is not as expected."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable
from pathlib import Path

from markupsafe import Markup

from components.handover import StepError


def data_uri(path: Path) -> Markup:
    """The PNG at `path`, to stand in the page itself."""
    if not path.is_file():
        raise StepError(f"{path}: expected a picture that pictures.json names, found none. Run evaluate again.")
    return Markup("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii"))


def expect(path: Path, wanted: Iterable[str], found: Collection[str], about: str = "") -> None:
    """Raises `StepError` naming what of `wanted` is not among `found`, which the file at `path` holds."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise StepError(f"{path}: expected {', '.join(missing)}{about}, found none. Run the step that writes it again.")
