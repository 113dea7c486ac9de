"""Ingest: images come in from every source, identity leaves, and a row an image says what became of it.

`data/raw/images/` holds the images that may be worked on, de-identified; `data/raw/index.csv` has a row for every file
that was met: for the kept ones and, with the reason, for those that were not.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sized
from dataclasses import replace
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from components.dicom.burned_in import read_reviewed
from components.dicom.deidentify import Pseudonyms
from components.dicom.duplicates import SHARED_UID, duplicates, give_uid, shared_uids
from components.dicom.read import read_image
from components.dicom.text_search import require_reader
from components.handover import IndexRow, Layout, StepError, read_json, write_rows
from components.handover.names import CONFIG, INDEX, REVIEWED, TRAINED_ON
from components.params import Params
from components.params.run_step import run_step
from components.sources.file_register import FileRegister, Origin
from components.sources.intake import Intake, Taken
from components.sources.items import Item
from components.sources.listing import look
from components.sources.registry import is_public, open_source
from components.sources.remembered import LastRun, Takings, index_of_last_run

SALT_VARIABLE = "MEDSR_SALT"
PUBLIC_SALT = b"the pseudonyms of public sources are no secret"  # so that everybody gets the same data/raw of them
DUPLICATE = "duplicate of "
IMAGES = "images"  # the folder in data/raw
SHOWN = 20  # withdrawn images that are named on the terminal


def run(layout: Layout, settings: Params) -> list[IndexRow]:
    """Fills `data/raw`; the rows of its index, ordered by task, source and file name.

    Raises `StepError` where a source is missing, too much of it is bad, or identity is left in a file. `data/raw` stays
    as the last good run left it until the new one is whole.
    """
    if settings.ingest.find_text:
        require_reader()
    listed = look(layout, settings)  # first: a file that comes while this runs is news to the next run
    staging, replaced = layout.data / ".raw-staging", layout.data / ".raw-replaced"
    if replaced.exists() and not layout.raw.exists():
        replaced.rename(layout.raw)  # a run was killed between the two renames below
    for left_over in (staging, replaced):
        shutil.rmtree(left_over, ignore_errors=True)
    (staging / IMAGES).mkdir(parents=True)
    try:
        rows = _rows(layout, settings, staging, listed.digests)
        write_rows(staging / INDEX, IndexRow, rows)
        if layout.raw.exists():
            layout.raw.rename(replaced)
        staging.rename(layout.raw)
    finally:
        for left_over in (staging, replaced):
            shutil.rmtree(left_over, ignore_errors=True)
    return rows


def salt(layout: Layout) -> bytes:
    """The secret behind the pseudonyms of private sources: `MEDSR_SALT`, else `data/.salt`, made on first use."""
    given = os.environ.get(SALT_VARIABLE)
    if given:
        return given.encode()
    path = layout.data / ".salt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        print(f"Made {path}, the secret behind all pseudonyms. Keep it, and keep it to yourself: it is not in git.")
    secret = path.read_bytes().strip()
    if len(secret) < 16:
        raise StepError(f"{path}: expected a secret of 16 characters or more, found {len(secret)}. Remove the file.")
    return secret


def _rows(layout: Layout, settings: Params, staging: Path, digests: Mapping[str, Mapping[str, str]]) -> list[IndexRow]:
    sources = settings.ingest
    reviewed, numbers, last_run = read_reviewed(layout.data / REVIEWED), count(1), LastRun.of(layout)
    register = FileRegister(layout.files)
    sharpened = sources.super_resolution + sources.train_only  # in this order: of duplicates the first is kept
    rows = []
    for task, names in (("super_resolution", sharpened), ("classification", sources.classification)):
        taken: list[Taken] = []
        for source in names:
            pseudonyms = Pseudonyms(PUBLIC_SALT if is_public(source) else salt(layout))
            intake = Intake(staging, pseudonyms, reviewed, numbers, sources.find_text)
            takings = Takings.open(source, task, intake, last_run, register)
            taken += _take_source(takings, digests.get(source, {}), settings, register)
        rows += _keep(taken, staging, last_run)
    return sorted(rows, key=lambda row: (row.task, row.source, row.file_name))


def _take_source(takings: Takings, digests: Mapping[str, str], settings: Params, register: FileRegister) -> list[Taken]:
    source = takings.source
    taken: list[Taken] = []
    origins: list[Origin] = []
    try:
        for item in _with_progress(open_source(source, settings), source):
            key = item.name if is_public(source) else takings.intake.pseudonyms.file(source, item.name)
            path = "" if item.path is None or item.simulated else str(item.path.absolute())
            origin = Origin(key=key, image_id="", source=source, name=item.name, path=path)
            origins.append(origin)
            taken.append(takings.take(replace(item, name=key), item.name, digests.get(item.name, "")))
            origins[-1] = replace(origin, image_id=taken[-1].row.image_id)
    finally:
        register.record(origins)  # also of a run that fails: its message names keys
    takings.remember(register)
    if not taken:
        raise StepError(f"source {source}: expected images, found no file. See ingest in params.yaml.")
    bad = [one.row for one in taken if one.image is None]
    if len(bad) > settings.ingest.max_bad_share * len(taken):
        listed = "\n  ".join(f"{row.file_name}: {row.reason}" for row in bad)
        raise StepError(
            f"source {source}: {len(bad)} of {len(taken)} files are bad, more than ingest.max_bad_share "
            f"({settings.ingest.max_bad_share:g}) allows. Mend or remove them, or raise the share. `medsr where NAME` "
            f"says where a file lies.\n  {listed}"
        )
    return taken


def _with_progress(items: Iterable[Item], source: str) -> Iterable[Item]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=len(items) if isinstance(items, Sized) else None, description=source)


def _keep(taken: list[Taken], staging: Path, last_run: LastRun) -> list[IndexRow]:
    """Moves what is kept into the folder of images; the others become quarantined rows."""
    rows = [one.row for one in taken if one.image is None]
    images = [(one.row, one.image) for one in taken if one.image is not None]
    found = duplicates([image for _, image in images], lambda path: read_image(last_run.written(path)))
    told_apart = shared_uids([image for _, image in images], found)
    for place, (row, image) in enumerate(images):
        if place in found:
            kept = images[found[place].of][0].image_id
            rows.append(replace(row, quarantined=True, reason=f"{DUPLICATE}{kept}: {found[place].reason}"))
            image.path.unlink(missing_ok=True)
        else:
            path = f"{IMAGES}/{row.image_id}{image.path.suffix}"
            stored = last_run.written(image.path)
            if place in told_apart:
                give_uid(stored, told_apart[place])
            stored.replace(staging / path)
            rows.append(replace(row, path=path, reason=SHARED_UID if place in told_apart else ""))
    return rows


def summary(rows: list[IndexRow]) -> str:
    """What was kept, what stands for what, and what was quarantined and why, as lines for the terminal."""
    kept = Counter((row.task, row.source, row.modality) for row in rows if not row.quarantined)
    patients = {key: {r.patient_id for r in rows if not r.quarantined and _kind(r) == key} for key in kept}
    doubles = [row for row in rows if row.reason.startswith(DUPLICATE)]
    bad = [row for row in rows if row.quarantined and not row.reason.startswith(DUPLICATE)]
    lines = [f"{len(rows)} files: {sum(kept.values())} kept, {len(doubles)} duplicates, {len(bad)} quarantined"]
    for key, number in sorted(kept.items()):
        lines.append(f"  {' · '.join(key)}: {number} images of {len(patients[key])} patients")
    lines += [f"  duplicate   {row.file_name}: {row.reason.removeprefix(DUPLICATE)}" for row in doubles]
    lines += [f"  note        {row.file_name}: {row.reason}" for row in rows if row.reason and not row.quarantined]
    lines += [f"  quarantined {row.file_name}: {row.reason}" for row in bad]
    return "\n".join(lines)


def withdrawn(layout: Layout, before: Iterable[IndexRow], rows: Iterable[IndexRow]) -> list[str]:
    """Which images of `before` are not among `rows`, and which models were trained on them, as lines of text."""
    gone = {row.image_id for row in before if not row.quarantined} - {
        row.image_id for row in rows if not row.quarantined
    }
    if not gone:
        return []
    more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
    lines = [f"withdrawn or changed since the last run: {', '.join(sorted(gone)[:SHOWN])}{more}"]
    for config in sorted(layout.data.glob(f"models/*/{CONFIG}")) + sorted(layout.champion.rglob(CONFIG)):
        learned = gone & set(read_json(config).get(TRAINED_ON, ()))
        if learned:
            stays = ": it serves until another version is promoted" if config.is_relative_to(layout.champion) else ""
            lines.append(f"  the model in {config.parent} was trained on {len(learned)} of them{stays}")
    return lines


def _kind(row: IndexRow) -> tuple[str, str, str]:
    return row.task, row.source, row.modality


def _step(layout: Layout, settings: Params) -> list[str]:
    before = index_of_last_run(layout)
    rows = run(layout, settings)
    return [summary(rows), *withdrawn(layout, before, rows)]


def main() -> int:
    return run_step(_step)


if __name__ == "__main__":
    raise SystemExit(main())
