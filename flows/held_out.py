"""Prepares a folder of DICOM images to be scored like the project's held-out images."""

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
    """Whether `folder` holds images that `prepare` wrote."""
    return (folder / INDEX).is_file()


@contextmanager
def from_dicom(layout: Layout, settings: Params, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The prepared images of `folder`, and the reasons for those left out; both are removed when the block ends.

    They pass the project's own steps: removal of identity, duplicates and broken files, then frames, body masks and
    low-resolution twins. They get the project's pseudonyms, so that patients it trains or validates on are left out.
    Raises `StepError` where nothing is left to score.
    """
    from components import ingest, prepare, split

    isolated_settings = replace(
        settings,
        ingest=replace(
            settings.ingest, super_resolution=(f"dicom:{folder.absolute()}",), train_only=(), classification=()
        ),
    )
    with tempfile.TemporaryDirectory(prefix="medsr-held-out-") as temporary:
        apart = Layout(Path(temporary))
        apart.data.mkdir()
        for name in (".salt", REVIEWED):
            if (layout.data / name).is_file():
                shutil.copy(layout.data / name, apart.data)
        if not (apart.data / ".salt").is_file():
            (apart.data / ".salt").write_text(secrets.token_hex(32))  # pseudonyms that mean nothing afterwards
        with redirect_stdout(sys.stderr):  # progress; the answer alone goes to the standard output
            try:
                names = [row.file_name for row in ingest.run(apart, isolated_settings)]
            finally:
                FileRegister(layout.files).record(FileRegister(apart.files).all())  # so that `medsr where` knows them
            splits = _without_learned(layout, split.hold_all_out(apart, isolated_settings))
            write_rows(apart.splits, SplitRow, splits)
            left_out = [f"{name}: {row.reason}" for name, row in zip(names, splits, strict=True) if row.reason]
            frames, unusable = prepare.super_resolution(apart, isolated_settings)
        left_out += unusable
        if not frames:
            raise StepError(f"{folder}: expected an image to score, found none.\n  " + "\n  ".join(left_out))
        yield apart.super_resolution, left_out


def _without_learned(layout: Layout, rows: list[SplitRow]) -> list[SplitRow]:
    """`rows`, where those of patients that the project trains or validates on have no split."""
    split_rows = read_rows(layout.splits, SplitRow) if layout.splits.is_file() else []
    sides = {row.patient_id: row.split for row in split_rows if row.split in ("train", "validation")}

    def learned(row: SplitRow) -> SplitRow:
        reason = f"its patient is on the {sides[row.patient_id]} side of {layout.splits}"
        return replace(row, split="", reason=reason)

    return [learned(row) if row.split and row.patient_id in sides else row for row in rows]
