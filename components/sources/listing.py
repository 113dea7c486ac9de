"""Whether a source of images holds other files than at the last run.

DVC watches files in the project only. `data/sources.json` stands in its graph for the files outside: their number and
a digest over names and contents. A new image changes it and so makes `ingest` run. Where there are files outside,
`dvc.yaml` has a stage that lists them. A change counts as news until `ingest` ends well, because only then does DVC
write it into `dvc.lock`.
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

from components.handover import Layout, StepError, read_json, write_json
from components.params import Params
from components.sources.file_register import FileRegister
from components.sources.registry import is_public
from components.sources.walking import Entry, walk

STAGE = "ingest"  # what reads the sources
FOLDERS = "folders"  # the item of `list_sources` in dvc.yaml


@dataclass(frozen=True)
class Change:
    """How a source differs from what it was at the last run, in files."""

    source: str
    came: int
    went: int
    altered: int

    def __str__(self) -> str:
        return f"{self.source}: {self.came} files came, {self.went} went, {self.altered} changed since the last run"


@dataclass(frozen=True)
class SourceState:
    """The state of the sources now."""

    sources: dict[str, dict[str, Any]]  # files and sha256, by source
    changes: tuple[Change, ...]  # of sources that differ from the last run, or are new, or gone from the settings
    youngest_s: float  # since the last file of those that changed came to its place
    digests: dict[str, dict[str, str]]  # by source and name; of what cannot be opened the reason


def look(layout: Layout, settings: Params) -> SourceState:
    """Brings `data/sources.json` up to date. Raises `StepError` where a source is missing."""
    state = compare(layout, settings)
    content = {"outside": [FOLDERS] if state.sources else [], "sources": state.sources}
    if not layout.sources.is_file() or read_json(layout.sources) != content:
        write_json(layout.sources, content)
    FileRegister(layout.files).list_files(state.digests)
    return state


def compare(layout: Layout, settings: Params) -> SourceState:
    """Compares the sources with `data/sources.json`. Writes only the remembered digests."""
    ingest = settings.ingest
    names = sorted({*ingest.super_resolution, *ingest.train_only, *ingest.classification})
    register = FileRegister(layout.files)
    digests: dict[str, dict[str, str]] = {}
    sources: dict[str, dict[str, Any]] = {}
    youngest: dict[str, float] = {}
    for name in names:
        if is_public(name):
            continue  # it changes with the code alone
        entries = list(_entries(layout.root / name.partition(":")[2], name))
        of_paths = register.digests([entry.path for entry in entries if not entry.reason])
        digests[name] = {entry.name: of_paths.get(entry.path, entry.reason) for entry in entries}
        sources[name] = {"files": len(entries), "sha256": _combined(digests[name])}
        # a copy may keep the mtime of where it is from, and that may lie in the future; its ctime is when it came
        youngest[name] = max((_came(entry.path) for entry in entries), default=0.0)
    before = read_json(layout.sources).get("sources", {}) if layout.sources.is_file() else {}
    changed = [name for name in sorted({*sources, *before}) if sources.get(name) != before.get(name)]
    newest = max((youngest.get(name, 0.0) for name in changed), default=0.0)
    changes = tuple(_change(name, register.listed(name), digests.get(name, {})) for name in changed)
    return SourceState(sources, changes, max(0.0, time.time() - newest), digests)


def _came(path: Path) -> float:
    """When the file came to its place; long ago, where it went again while the source was listed."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0


def _change(source: str, before: dict[str, str], now: dict[str, str]) -> Change:
    altered = sum(before[name] != digest for name, digest in now.items() if name in before)
    return Change(source, len(now.keys() - before.keys()), len(before.keys() - now.keys()), altered)


def _entries(place: Path, source: str) -> Iterator[Entry]:
    """What the source holds, each with its name as the source gives it."""
    if place.is_dir():
        yield from walk(place)
    elif place.is_file():
        yield Entry(place.name, place)
        if place.suffix == ".csv":
            with place.open(newline="", encoding="utf-8-sig") as handle:
                listed = sorted({row.get("file", "") for row in csv.DictReader(handle)})
            yield from (Entry(name, place.parent / name) for name in listed if (place.parent / name).is_file())
    else:
        raise StepError(f"source {source}: expected a folder or a file, found none there. See ingest in params.yaml.")


def _combined(digests: dict[str, str]) -> str:
    whole = hashlib.sha256()
    for name, digest in digests.items():
        whole.update(f"{digest} ".encode() + os.fsencode(name) + b"\n")
    return whole.hexdigest()
