"""Sources of images by kind. A new one is one file, one line here and one test."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from components.handover import StepError
from components.params import Params
from components.sources import dead_leaves as leaves
from components.sources import dicom_folder, medmnist_set, nifti, npz, pictures, pydicom_data, simulated
from components.sources.items import Item

Opener = Callable[[str, Params], Iterable[Item]]
KINDS: dict[str, Opener] = {
    "pydicom-data": pydicom_data.items,
    "dicom": dicom_folder.items,
    "pictures": pictures.items,
    "npz": npz.items,
    "medmnist": medmnist_set.items,
    "nifti": nifti.items,
    "simulated": simulated.items,
    "leaves": leaves.items,
}
WITHOUT_PLACE = ("pydicom-data", "simulated")
PUBLIC = ("pydicom-data", "medmnist", "simulated", "leaves")  # published, or made here: nothing in them is secret


def is_public(source: str) -> bool:
    """Whether everybody has the same files of `source`, so that their names and pseudonyms need no secret."""
    return source.partition(":")[0] in PUBLIC


def open_source(source: str, settings: Params) -> Iterable[Item]:
    """Items of `source`, `kind` or `kind:place`, always in the same order. Raises `StepError` where there is none."""
    kind, _, place = source.partition(":")
    if kind not in KINDS:
        raise StepError(f"source {source!r}: expected one of {', '.join(KINDS)}. See ingest in params.yaml.")
    if (kind in WITHOUT_PLACE) == bool(place):
        wanted = kind if kind in WITHOUT_PLACE else f"{kind}:PLACE"
        raise StepError(f"source {source!r}: expected {wanted}. See ingest in params.yaml.")
    return KINDS[kind](place, settings)
