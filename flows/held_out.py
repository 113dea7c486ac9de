"""A folder of DICOM that nobody trained on, made ready to be scored as the project's held-out images are."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path

from components.handover import Layout, StepError
from components.params import Params


def is_prepared(folder: Path) -> bool:
    """Whether `folder` is as `prepare` leaves it."""
    return (folder / "index.csv").is_file()


@contextmanager
def from_dicom(layout: Layout, settings: Params, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The images in `folder`, prepared, and by name what was left out and why; gone when the block ends.

    They pass the steps that the project's own pass: identity removed, duplicates and broken files set aside, frames,
    body masks and low-resolution twins made. Raises `StepError` where nothing is left to score.
    """
    from components import ingest, prepare, split

    own = replace(
        settings,
        ingest=replace(settings.ingest, super_resolution=(f"dicom:{folder}",), train_only=(), classification=()),
    )
    with tempfile.TemporaryDirectory(prefix="medsr-held-out-") as place:
        apart = Layout(Path(place))
        apart.data.mkdir()
        (apart.data / ".salt").write_text(secrets.token_hex(32))  # pseudonyms that mean nothing afterwards
        reviewed = layout.data / "reviewed_regions.csv"
        if reviewed.is_file():
            shutil.copy(reviewed, apart.data)
        with redirect_stdout(sys.stderr):  # progress; the answer alone goes to the standard output
            names = [row.file_name for row in ingest.run(apart, own)]
            splits = split.hold_all_out(apart, own)
            left_out = [f"{name}: {row.reason}" for name, row in zip(names, splits, strict=True) if row.reason]
            frames, unusable = prepare.super_resolution(apart, own)
        left_out += unusable
        if not frames:
            raise StepError(f"{folder}: expected an image to score, found none.\n  " + "\n  ".join(left_out))
        yield apart.super_resolution, left_out
