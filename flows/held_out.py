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

from components.handover import Layout, SplitRow, StepError, read_rows, write_rows
from components.handover.names import INDEX, REVIEWED
from components.params import Params
from components.sources.file_register import FileRegister


def is_prepared(folder: Path) -> bool:
    """Whether `folder` is as `prepare` leaves it."""
    return (folder / INDEX).is_file()


@contextmanager
def from_dicom(layout: Layout, settings: Params, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The images in `folder`, prepared, and by name what was left out and why; gone when the block ends.

    They pass the steps that the project's own pass: identity removed, duplicates and broken files set aside, frames,
    body masks and low-resolution twins made. Pseudonyms are those of the project, where it has any, so that a patient
    it trains or validates on is left out by name. Raises `StepError` where nothing is left to score.
    """
    from components import ingest, prepare, split

    own = replace(
        settings,
        ingest=replace(
            settings.ingest, super_resolution=(f"dicom:{folder.absolute()}",), train_only=(), classification=()
        ),
    )
    with tempfile.TemporaryDirectory(prefix="medsr-held-out-") as place:
        apart = Layout(Path(place))
        apart.data.mkdir()
        for name in (".salt", REVIEWED):
            if (layout.data / name).is_file():
                shutil.copy(layout.data / name, apart.data)
        if not (apart.data / ".salt").is_file():
            (apart.data / ".salt").write_text(secrets.token_hex(32))  # pseudonyms that mean nothing afterwards
        with redirect_stdout(sys.stderr):  # progress; the answer alone goes to the standard output
            try:
                names = [row.file_name for row in ingest.run(apart, own)]
            finally:
                FileRegister(layout.files).record(FileRegister(apart.files).all())  # so that `medsr where` knows them
            splits = _without_learned(layout, split.hold_all_out(apart, own))
            write_rows(apart.splits, SplitRow, splits)
            left_out = [f"{name}: {row.reason}" for name, row in zip(names, splits, strict=True) if row.reason]
            frames, unusable = prepare.super_resolution(apart, own)
        left_out += unusable
        if not frames:
            raise StepError(f"{folder}: expected an image to score, found none.\n  " + "\n  ".join(left_out))
        yield apart.super_resolution, left_out


def _without_learned(layout: Layout, rows: list[SplitRow]) -> list[SplitRow]:
    """`rows`, those on no side whose patients the project trains or validates on."""
    known = read_rows(layout.splits, SplitRow) if layout.splits.is_file() else []
    sides = {row.patient_id: row.split for row in known if row.split in ("train", "validation")}

    def learned(row: SplitRow) -> SplitRow:
        reason = f"its patient is on the {sides[row.patient_id]} side of {layout.splits}"
        return replace(row, split="", reason=reason)

    return [learned(row) if row.split and row.patient_id in sides else row for row in rows]
