"""A MedMNIST set by the name that the package `medmnist` gives it, such as `pneumoniamnist` or `pneumoniamnist_64`.

The package would download it; here the file has to be there already.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.handover import StepError
from components.params import Params
from components.sources.items import Picture
from components.sources.npz import read_npz

SIZES = ("28", "64", "128", "224")


def items(place: str, settings: Params) -> Iterable[Picture]:
    """Every image of the set. Raises `StepError` for an unknown name, or saying where the file has to be placed."""
    from medmnist import HOMEPAGE, INFO
    from medmnist.dataset import DEFAULT_ROOT

    name, _, size = place.partition("_")
    if name not in INFO or size not in ("", *SIZES):
        names = ", ".join(sorted(INFO))
        raise StepError(f"source medmnist:{place}: expected one of {names}, for other sizes with _64, _128 or _224.")
    file = Path(DEFAULT_ROOT).expanduser() / (f"{name}.npz" if size in ("", "28") else f"{name}_{size}.npz")
    if not file.is_file():
        raise StepError(
            f"source medmnist:{place}: expected the set at {file}, found no file. Nothing is downloaded here: get "
            f"{file.name} from {HOMEPAGE} and place it there, or name another place with npz:FILE."
        )
    return read_npz(file, f"medmnist:{place}")
