"""A line in `mlruns/enhancements.jsonl` for every enhanced image: statistics of its pixels, timing, model.

No name, number, UID, path or date of the patient's is in it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.handover import Layout
from components.monitoring.image_statistics import STATISTICS

BLOCK = 2**20  # bytes of records read at a time


@dataclass(frozen=True)
class Record:
    """One enhanced image, without identity."""

    at: str  # when it was enhanced, to the second, UTC
    modality: str  # OT for a picture
    rows: int
    columns: int
    frames: int
    model: str
    version: str
    seconds: float
    statistics: dict[str, float]  # of the middle frame


def note(layout: Layout, record: Record) -> None:
    """Appends a line, under a lock: several processes may do so at once."""
    layout.mlruns.mkdir(parents=True, exist_ok=True)
    with records_path(layout).open("a+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(max(0, handle.tell() - 1))
        cut_short = handle.read() not in ("", "\n")  # by a kill: the new line must not join it
        handle.write("\n" * cut_short + json.dumps(asdict(record)) + "\n")


def now() -> str:
    """The current time, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def records(layout: Layout, days: float, say: Callable[[str], object] = print) -> list[Record]:
    """The records of the last `days`, oldest first. Unknown fields are ignored.

    `say` is told how many lines were passed over: a kill cut them short, or another version wrote them.
    """
    path, since = records_path(layout), (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    if not path.is_file():
        return []
    lines = [line for line in _since(path, since) if line]
    parsed = [record for record in map(_read, lines) if record]
    if passed_over := len(lines) - len(parsed):
        say(f"{path.name}: {passed_over} lines are no records of this version's and were passed over")
    return [record for record in parsed if record.at >= since]


def _since(path: Path, moment: str) -> list[str]:
    """The lines from `moment` on and some before it, read from the end, because the file holds years."""
    blocks: list[bytes] = []
    with path.open("rb") as handle:
        begin = handle.seek(0, os.SEEK_END)
        while begin:
            end, begin = begin, max(0, begin - BLOCK)
            handle.seek(begin)
            blocks.insert(0, handle.read(end - begin))
            parsed = [record for record in map(_read, blocks[0].decode(errors="replace").splitlines()[1:-1]) if record]
            if begin and parsed and parsed[0].at < moment:
                blocks[0] = blocks[0].partition(b"\n")[2]
                break
    return b"".join(blocks).decode(errors="replace").splitlines()


def _read(line: str) -> Record | None:
    try:
        content = json.loads(line)
        record = Record(**{field.name: content[field.name] for field in fields(Record)})
        names = {str(name) for name in record.statistics}
    except (json.JSONDecodeError, KeyError, TypeError):
        return None
    return record if isinstance(record.at, str) and (not names or names >= set(STATISTICS)) else None


def records_path(layout: Layout) -> Path:
    """Where `note` writes."""
    return layout.mlruns / "enhancements.jsonl"
