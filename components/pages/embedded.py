"""Pictures embedded in a page, and the check of the files that a page reads."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable
from pathlib import Path

from markupsafe import Markup

from components.handover import StepError


def data_uri(path: Path) -> Markup:
    """The PNG at `path` as a data URI, so that the page needs no other file."""
    if not path.is_file():
        raise StepError(f"{path}: expected a picture that pictures.json names, found none. Run evaluate again.")
    return Markup("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii"))


def expect(path: Path, required: Iterable[str], present: Collection[str], suffix: str = "") -> None:
    """Raises `StepError` naming those of `required` that are not among `present`, the names in the file at `path`."""
    missing = [name for name in required if name not in present]
    if missing:
        raise StepError(
            f"{path}: expected {', '.join(missing)}{suffix}, found none. Run the step that writes it again."
        )
