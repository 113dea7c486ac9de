"""Whether a source of images holds other files than at the last run.

DVC sees what lies in the project. `data/sources.json` stands in its graph for the folders and files outside: their
number and a digest over names and contents, so that a new image makes `ingest` run. What a run wrote there is news
until `ingest` ended well: only then does DVC write it into `dvc.lock`.
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
WITH_PLACE = ("dicom", "pictures", "npz", "nifti")  # the kinds whose files lie outside; others change with the code


@dataclass(frozen=True)
class Seen:
    """What the sources hold now."""

    sources: dict[str, dict[str, Any]]  # files and sha256, by source
    changed: tuple[str, ...]  # sources that differ from the last run, or are new, or gone from the settings
    youngest_s: float  # since the last file of those that changed came to its place


def look(layout: Layout, settings: Params) -> tuple[str, ...]:
    """Brings `data/sources.json` up to date; the sources that changed. Raises `StepError` where one is not there."""
    seen = compare(layout, settings)
    if seen.changed:
        write_json(layout.sources, seen.sources)
    return seen.changed


def compare(layout: Layout, settings: Params) -> Seen:
    """What the sources hold now against `data/sources.json`; changes nothing but the memory of digests."""
    wanted = settings.ingest
    names = sorted({*wanted.super_resolution, *wanted.train_only, *wanted.classification})
    memory = _remembered(layout)
    fresh: dict[str, Any] = {}
    sources: dict[str, dict[str, Any]] = {}
    youngest: dict[str, float] = {}
    for name in names:
        kind, _, place = name.partition(":")
        if kind not in WITH_PLACE:
            continue
        own = {path: _digest(path, memory, fresh) for path in _files(layout.root / place, name)}
        sources[name] = {"files": len(own), "sha256": _together(layout.root / place, own)}
        # a copy may keep the mtime of where it is from, and that may lie in the future; its ctime is when it came
        youngest[name] = max((path.stat().st_ctime for path in own), default=0.0)
    if fresh != memory:
        write_json(_memory(layout), fresh)
    before = read_json(layout.sources) if layout.sources.is_file() else {}
    changed = tuple(name for name in sorted({*sources, *before}) if sources.get(name) != before.get(name))
    newest = max((youngest.get(name, 0.0) for name in changed), default=0.0)
    return Seen(sources, changed, max(0.0, time.time() - newest))


def left_over(layout: Layout) -> tuple[str, ...]:
    """Sources of `data/sources.json` as it is, where `ingest` did not end well since: the run that looked failed."""
    lock = layout.root / LOCK
    if not layout.sources.is_file() or time.time() - layout.sources.stat().st_mtime < UNDER_WAY_S:
        return ()
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {}) if lock.is_file() else {}
    read = [row.get("md5") for row in stages.get(STAGE, {}).get("deps", ()) if row["path"] == "data/sources.json"]
    if read == [hashlib.md5(layout.sources.read_bytes(), usedforsecurity=False).hexdigest()]:
        return ()
    return tuple(sorted(read_json(layout.sources)))


def _files(place: Path, name: str) -> Iterator[Path]:
    if place.is_dir():
        yield from sorted(path for path in place.rglob("*") if path.is_file())
    elif place.is_file():
        yield place
        if place.suffix == ".csv":
            with place.open(newline="", encoding="utf-8") as handle:
                listed = (place.parent / row.get("file", "") for row in csv.DictReader(handle))
                yield from sorted({path for path in listed if path.is_file()})
    else:
        raise StepError(f"source {name}: expected a folder or a file, found none there. See ingest in params.yaml.")


def _digest(path: Path, memory: dict[str, Any], fresh: dict[str, Any]) -> str:
    """Of the contents; what has the same size and time as when it was last read is not read again."""
    status, key = path.stat(), str(path).encode("utf-8", "backslashreplace").decode()  # JSON holds no other bytes
    mark = [status.st_size, status.st_mtime_ns]
    known = memory.get(key)
    if known and known[:2] == mark:
        fresh[key] = known
    else:
        with path.open("rb") as handle:
            fresh[key] = [*mark, hashlib.file_digest(handle, "sha256").hexdigest()]
    return str(fresh[key][2])


def _together(place: Path, digests: dict[Path, str]) -> str:
    whole = hashlib.sha256()
    for path, digest in digests.items():
        name = path.relative_to(place) if place.is_dir() else path.name
        whole.update(f"{digest} ".encode() + os.fsencode(name) + b"\n")
    return whole.hexdigest()


def _remembered(layout: Layout) -> dict[str, Any]:
    path = _memory(layout)
    return dict(read_json(path)) if path.is_file() else {}


def _memory(layout: Layout) -> Path:
    return layout.data / ".sources.cache.json"
