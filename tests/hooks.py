"""How pytest runs the tests: in memory, the longest first, a second try for services, no process left behind."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from components.adapters.tracking import PRIVACY
from tests.left_behind import RUN, LeftBehind, ended_by_force

# files that take a minute and more, the longest first, so that no worker begins one when the others are done
LONGEST = (
    "test_pipeline.py",
    "test_pipeline_by_schedule.py",
    "flows/test_up.py",
    "flows/test_down.py",
    "flows/test_archive.py",
    "flows/test_outage.py",
    "flows/test_machine_lost.py",
    "serving/test_service.py",
    "test_train.py",
    "promotion/test_ledger.py",
)
SERVICE_TIMEOUT_S = 600.0  # they wait for other processes, which a busy machine holds up
# where files stay in memory: tests write some hundred thousand, which costs a file system on disk minutes
IN_MEMORY = Path("/dev/shm")
ROOM = 8 * 2**30  # bytes that have to be free, there and in memory
# nothing calls home from a test either: before MLflow and DVC, here and in other processes, read it
ENVIRONMENT = PRIVACY | {"DVC_NO_ANALYTICS": "true", "OMP_NUM_THREADS": "1"}
_LEFT = pytest.StashKey[list[LeftBehind]]()
_FILES = pytest.StashKey[Path]()  # of this run, in memory


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "service: starts a server, a browser or another process; tried twice")
    config.stash[_LEFT] = []
    gc.disable()  # a quarter of the time that imports take; see `components`
    if not _is_worker(config):
        os.environ[RUN] = uuid.uuid4().hex
        os.environ |= ENVIRONMENT
        if "TMPDIR" not in os.environ and has_room(IN_MEMORY):
            os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="medsr-tests-", dir=IN_MEMORY)
            config.stash[_FILES] = Path(tempfile.tempdir)


def has_room(folder: Path) -> bool:
    """Whether the files of a run may lie in `folder`."""
    with suppress(OSError):
        if os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return False  # some tests write programs
        return min(psutil.disk_usage(str(folder)).free, psutil.virtual_memory().available) >= ROOM
    return False


def pytest_collection_finish() -> None:
    gc.freeze()  # what the imports made stays, and need not be looked through again and again
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("service"):
            item.add_marker(pytest.mark.flaky(reruns=1))
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(SERVICE_TIMEOUT_S))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    path = item.path.as_posix()
    return next((turn for turn, end in enumerate(LONGEST) if path.endswith(f"tests/{end}")), len(LONGEST))


@pytest.hookimpl(trylast=True)  # when xdist has ended its workers
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _is_worker(session.config):
        return
    session.config.stash[_LEFT] = ended_by_force(os.environ[RUN])
    if session.config.stash[_LEFT] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.exitstatus == pytest.ExitCode.OK and _FILES in session.config.stash:
        shutil.rmtree(session.config.stash[_FILES], ignore_errors=True)  # with what killed processes left in it


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left: Sequence[LeftBehind] = config.stash[_LEFT]
    for one in left:
        terminalreporter.write_line(f"ERROR {one}", red=True)
    if _FILES in config.stash and config.stash[_FILES].is_dir():
        terminalreporter.write_line(f"the files of this run stay in memory: remove {config.stash[_FILES]}")


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is one of xdist's processes, whose controller looks after all of them."""
    return hasattr(config, "workerinput")
