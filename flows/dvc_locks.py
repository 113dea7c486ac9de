"""DVC's list of the locks that its processes hold on files, without the locks of dead processes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.handover import Replacing


def release_dead_locks(root: Path) -> set[int]:
    """Removes the locks of dead processes from DVC's list, and gives the numbers of the live holders.

    DVC does so itself unless another process has the dead one's number by now, as soon happens in a container.
    """
    from dvc.lock import make_lock

    path = root / ".dvc" / "tmp" / "rwlock"
    if not path.is_file():
        return set()
    with make_lock(str(path.with_name("rwlock.lock")), wait=True):
        locks = _locks(path)
        readers = {name: [holder for holder in holders if _is_dvc(holder)] for name, holders in locks["read"].items()}
        writers = {name: holder for name, holder in locks["write"].items() if _is_dvc(holder)}
        text = json.dumps({"write": writers, "read": {name: pids for name, pids in readers.items() if pids}})
        if text != path.read_text(encoding="utf-8"):
            with Replacing(path) as temporary:
                temporary.write_text(text)
    return {int(holder["pid"]) for holder in (*writers.values(), *itertools.chain(*readers.values()))}


def _locks(path: Path) -> dict[str, Any]:
    try:
        locks: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:  # its writer was killed while writing
        locks = {}
    return {"read": {}, "write": {}} | locks


def _is_dvc(holder: Mapping[str, Any]) -> bool:
    import psutil  # type: ignore[import-untyped]

    try:
        return any(Path(word).name == "dvc" for word in psutil.Process(int(holder["pid"])).cmdline())
    except psutil.Error:
        return False
