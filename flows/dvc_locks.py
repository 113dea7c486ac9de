"""The list of locks that DVC's processes hold on files, cleared of those that are gone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.handover import Replacing


def release_dead_locks(root: Path) -> set[int]:
    """Takes the locks of processes that are gone out of DVC's list; gives the numbers of those that hold one.

    DVC does so itself unless the number of the dead process is another's by now, as it soon is in a container.
    """
    from dvc.lock import make_lock

    path = root / ".dvc" / "tmp" / "rwlock"
    if not path.is_file():
        return set()
    with make_lock(str(path.with_name("rwlock.lock")), wait=True):
        held = _held_locks(path)
        read = {name: [holder for holder in holders if _is_dvc(holder)] for name, holders in held["read"].items()}
        write = {name: holder for name, holder in held["write"].items() if _is_dvc(holder)}
        kept = json.dumps({"write": write, "read": {name: holders for name, holders in read.items() if holders}})
        if kept != path.read_text(encoding="utf-8"):
            with Replacing(path) as temporary:
                temporary.write_text(kept)
    return {int(holder["pid"]) for holder in (*write.values(), *itertools.chain(*read.values()))}


def _held_locks(path: Path) -> dict[str, Any]:
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:  # its writer was killed while writing
        held = {}
    return {"read": {}, "write": {}} | held


def _is_dvc(holder: Mapping[str, Any]) -> bool:
    import psutil  # type: ignore[import-untyped]

    try:
        return any(Path(part).name == "dvc" for part in psutil.Process(int(holder["pid"])).cmdline())
    except psutil.Error:
        return False
