"""The processes that a test run leaves behind, each with the test that started it.

Every process inherits the environment of the test that starts it: the run's number, and the test's name, which pytest
keeps in `PYTEST_CURRENT_TEST`.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass

import psutil

RUN = "MEDSR_TEST_RUN"
GRACE_S = 5.0  # for those that are ending


@dataclass(frozen=True)
class LeftBehind:
    """A process that outlived the run that started it."""

    process: psutil.Process
    command: str
    test: str

    def __str__(self) -> str:
        return f"process {self.process.pid} ({self.command}) was left behind by {self.test}"


def ended_by_force(run: str) -> list[LeftBehind]:
    """Kills what the test run of this number has left, `GRACE_S` seconds from now, and tells what it was."""
    psutil.wait_procs([one.process for one in _living(run)], timeout=GRACE_S)
    left = _living(run)
    for one in left:
        with suppress(psutil.Error):
            one.process.kill()
    return left


def _living(run: str) -> list[LeftBehind]:
    """All but this process itself."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            if environment.get(RUN) == run and process.pid != os.getpid():
                test = environment.get("PYTEST_CURRENT_TEST", "no test: before the first one")
                found.append(LeftBehind(process, shlex.join(process.cmdline()), test))
    return found
