"""Whether a source of images holds other files than at the last run.

DVC watches files in the project only. `data/sources.json` stands in its graph for the files outside: their number and
a digest over names and contents. A new image changes it and so makes `ingest` run. A change counts as news until
`ingest` ends well, because only then does DVC write it into `dvc.lock`.
"""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.handover import Layout, StepError, read_json, write_json
from components.handover.names import LOCK
from components.params import Params

STAGE = "ingest"  # what reads the sources
UNDER_WAY_S = 6 * 3600  # a run that looked has come to the end of `ingest` by then, or to its own
WITH_FILES = ("dicom", "pictures", "npz", "nifti")  # the kinds whose files lie outside; others change with the code


@dataclass(frozen=True)
class SourceState:
    """The state of the sources now."""

    sources: dict[str, dict[str, Any]]  # files and sha256, by source
    changed: tuple[str, ...]  # sources that differ from the last run, or are new, or gone from the settings
    youngest_s: float  # since the newest file of the changed sources arrived


def look(layout: Layout, settings: Params) -> tuple[str, ...]:
    """Brings `data/sources.json` up to date and gives the changed sources. Raises `StepError` where one is missing."""
    state = compare(layout, settings)
    if state.changed:
        write_json(layout.sources, state.sources)
    return state.changed


def compare(layout: Layout, settings: Params) -> SourceState:
    """Compares the sources with `data/sources.json`. Writes only the cache of digests."""
    ingest = settings.ingest
    names = sorted({*ingest.super_resolution, *ingest.train_only, *ingest.classification})
    memory = _remembered(layout)
    fresh: dict[str, Any] = {}
    sources: dict[str, dict[str, Any]] = {}
    youngest: dict[str, float] = {}
    for name in names:
        kind, _, location = name.partition(":")
        if kind not in WITH_FILES:
            continue
        digests = {path: _digest(path, memory, fresh) for path in _files(layout.root / location, name)}
        sources[name] = {"files": len(digests), "sha256": _combined(layout.root / location, digests)}
        # a copy may keep the mtime of where it is from, and that may lie in the future; its ctime is when it came
        youngest[name] = max((path.stat().st_ctime for path in digests), default=0.0)
    if fresh != memory:
        write_json(_memory(layout), fresh)
    before = read_json(layout.sources) if layout.sources.is_file() else {}
    changed = tuple(name for name in sorted({*sources, *before}) if sources.get(name) != before.get(name))
    newest = max((youngest.get(name, 0.0) for name in changed), default=0.0)
    return SourceState(sources, changed, max(0.0, time.time() - newest))


def left_over(layout: Layout) -> tuple[str, ...]:
    """The sources in `data/sources.json` that `ingest` has not taken in, because the run that saw them failed."""
    lock = layout.root / LOCK
    if not layout.sources.is_file() or time.time() - layout.sources.stat().st_mtime < UNDER_WAY_S:
        return ()
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {}) if lock.is_file() else {}
    ingested = [row.get("md5") for row in stages.get(STAGE, {}).get("deps", ()) if row["path"] == "data/sources.json"]
    if ingested == [hashlib.md5(layout.sources.read_bytes(), usedforsecurity=False).hexdigest()]:
        return ()
    return tuple(sorted(read_json(layout.sources)))


def _files(source: Path, name: str) -> Iterator[Path]:
    if source.is_dir():
        yield from sorted(path for path in source.rglob("*") if path.is_file())
    elif source.is_file():
        yield source
        if source.suffix == ".csv":
            with source.open(newline="", encoding="utf-8") as handle:
                listed = (source.parent / row.get("file", "") for row in csv.DictReader(handle))
                yield from sorted({path for path in listed if path.is_file()})
    else:
        raise StepError(f"source {name}: expected a folder or a file, found none there. See ingest in params.yaml.")


def _digest(path: Path, memory: dict[str, Any], fresh: dict[str, Any]) -> str:
    """The digest of a file's contents. A file of unchanged size and time is not read again."""
    status, key = path.stat(), str(path).encode("utf-8", "backslashreplace").decode()  # JSON holds no other bytes
    mark = [status.st_size, status.st_mtime_ns]
    remembered = memory.get(key)
    if remembered and remembered[:2] == mark:
        fresh[key] = remembered
    else:
        with path.open("rb") as handle:
            fresh[key] = [*mark, hashlib.file_digest(handle, "sha256").hexdigest()]
    return str(fresh[key][2])


def _combined(source: Path, digests: dict[Path, str]) -> str:
    digest_of_all = hashlib.sha256()
    for path, digest in digests.items():
        name = path.relative_to(source) if source.is_dir() else path.name
        digest_of_all.update(f"{digest} ".encode() + os.fsencode(name) + b"\n")
    return digest_of_all.hexdigest()


def _remembered(layout: Layout) -> dict[str, Any]:
    path = _memory(layout)
    return dict(read_json(path)) if path.is_file() else {}


def _memory(layout: Layout) -> Path:
    return layout.data / ".sources.cache.json"
