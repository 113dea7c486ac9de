"""The real images that the package pydicom-data installs, under an open licence: the default source."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from components.handover import StepError
from components.params import Params
from components.sources.items import DicomFile


def items(place: str, settings: Params) -> Iterable[DicomFile]:
    """Every file in the package's data folder, by name."""
    spec = find_spec("data_store")
    if spec is None or spec.origin is None:
        raise StepError("source pydicom-data: expected the package pydicom-data, it is not installed. Run make again.")
    folder = Path(spec.origin).parent / "data"
    return [DicomFile(path.name, path) for path in sorted(folder.iterdir()) if path.is_file()]
