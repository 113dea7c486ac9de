"""Ingest: images come in from every source, identity leaves, and a row an image says what became of it.

`data/raw/images/` holds the images that may be worked on, de-identified; `data/raw/index.csv` has a row for every file
that was met: for the kept ones and, with the reason, for those that were not.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Sized
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from components.dicom import identity
from components.dicom.burned_in import read_reviewed
from components.dicom.deidentify import Pseudonyms
from components.dicom.duplicates import SHARED_UID, duplicates, give_uid, shared_uids
from components.dicom.identity import Identity
from components.handover import IndexRow, Layout, StepError, write_rows
from components.handover.names import REVIEWED
from components.params import Params
from components.params.run_step import run_step
from components.sources.intake import Intake, Taken, take
from components.sources.items import Item
from components.sources.registry import open_source

SALT_VARIABLE = "MEDSR_SALT"
DUPLICATE = "duplicate of "


def run(layout: Layout, settings: Params) -> list[IndexRow]:
    """Fills `data/raw`; the rows of its index, ordered by task, source and file name.

    Raises `StepError`, and leaves `data/raw` empty, where a source is missing, too much of it is bad, or identity is
    left in a file.
    """
    shutil.rmtree(layout.raw, ignore_errors=True)
    staging = layout.raw / ".staging"
    staging.mkdir(parents=True)
    try:
        rows = _rows(layout, settings, staging)
        write_rows(layout.index, IndexRow, rows)
    except BaseException:
        shutil.rmtree(layout.raw)
        raise
    shutil.rmtree(staging)
    return rows


def salt(layout: Layout) -> bytes:
    """The secret behind all pseudonyms: from `MEDSR_SALT`, else from `data/.salt`, which is made on first use."""
    given = os.environ.get(SALT_VARIABLE)
    if given:
        return given.encode()
    path = layout.data / ".salt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        print(f"Made {path}, the secret behind all pseudonyms. Keep it, and keep it to yourself: it is not in git.")
    found = path.read_bytes().strip()
    if len(found) < 16:
        raise StepError(f"{path}: expected a secret of 16 characters or more, found {len(found)}. Remove the file.")
    return found


def _rows(layout: Layout, settings: Params, staging: Path) -> list[IndexRow]:
    intake = Intake(staging, Pseudonyms(salt(layout)), read_reviewed(layout.data / REVIEWED))
    wanted = settings.ingest
    rows = []
    sharpened = wanted.super_resolution + wanted.train_only  # in this order: of duplicates the first is kept
    for task, sources in (("super_resolution", sharpened), ("classification", wanted.classification)):
        taken = [one for source in sources for one in _take_source(source, task, intake, settings)]
        rows += _keep(taken, layout)
    return sorted(rows, key=lambda row: (row.task, row.source, row.file_name))


def _take_source(source: str, task: str, intake: Intake, settings: Params) -> list[Taken]:
    items = open_source(source, settings)
    taken = [take(item, source, task, intake) for item in _with_progress(items, source)]
    if not taken:
        raise StepError(f"source {source}: expected images, found no file. See ingest in params.yaml.")
    taken = _names_redacted(taken)
    bad = [one.row for one in taken if one.image is None]
    if len(bad) > settings.ingest.max_bad_share * len(taken):
        listed = "\n  ".join(f"{row.file_name}: {row.reason}" for row in bad)
        raise StepError(
            f"source {source}: {len(bad)} of {len(taken)} files are bad, more than ingest.max_bad_share "
            f"({settings.ingest.max_bad_share:g}) allows. Mend or remove them, or raise the share.\n  {listed}"
        )
    return taken


def _with_progress(items: Iterable[Item], source: str) -> Iterable[Item]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=len(items) if isinstance(items, Sized) else None, description=source)


def _names_redacted(taken: list[Taken]) -> list[Taken]:
    """File names and reasons without identity; of a file that could not be read, without anybody's in the source."""
    everybody = Identity({word: origin for one in taken for word, origin in one.known.values.items()})
    redacted = []
    for one in taken:
        known = everybody if one.image is None else one.known
        name, reason = identity.redact(one.row.file_name, known), identity.redact(one.row.reason, known)
        redacted.append(replace(one, row=replace(one.row, file_name=name, reason=reason)))
    return redacted


def _keep(taken: list[Taken], layout: Layout) -> list[IndexRow]:
    """Moves what is kept into `data/raw/images`; the others become quarantined rows."""
    rows = [one.row for one in taken if one.image is None]
    images = [(one.row, one.image) for one in taken if one.image is not None]
    found = duplicates([image for _, image in images])
    told_apart = shared_uids([image for _, image in images], found)
    (layout.raw / "images").mkdir(exist_ok=True)
    for place, (row, image) in enumerate(images):
        if place in found:
            kept = images[found[place].of][0].image_id
            rows.append(replace(row, quarantined=True, reason=f"{DUPLICATE}{kept}: {found[place].reason}"))
        else:
            path = f"images/{row.image_id}{image.path.suffix}"
            if place in told_apart:
                give_uid(image.path, told_apart[place])
            image.path.replace(layout.raw / path)
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


def _kind(row: IndexRow) -> tuple[str, str, str]:
    return row.task, row.source, row.modality


def main() -> int:
    return run_step(lambda layout, settings: [summary(run(layout, settings))])


if __name__ == "__main__":
    raise SystemExit(main())
