"""Runs that outlive the worker that started them: Prefect starts each in a session of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

MARK = "MEDSR_UP"  # the variable by which `medsr up` marks all that it starts, and all that those start
GRACE_S = 10.0  # to end after they were told to


def mark(root: Path) -> dict[str, str]:
    """The variable that marks processes of the `medsr up` in `root`."""
    return {MARK: str(root.resolve())}


def end(root: Path) -> int:
    """Ends every process that a `medsr up` in `root` left, and gives their number."""
    import psutil  # type: ignore[import-untyped]

    found = list(_marked(root))
    for process in found:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(found, GRACE_S)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, GRACE_S)
    return len(found)


def _marked(root: Path) -> Iterator[Any]:
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or is another user's
            if process.environ().get(MARK) == mark(root)[MARK] and process.status() != psutil.STATUS_ZOMBIE:
                yield process
