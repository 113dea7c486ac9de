"""Toy projects under DVC, and one Prefect server for all tests that need it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is read, nothing is left there."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home / "prefect"))
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "dvc"))
        patch.setenv("DVC_GLOBAL_CONFIG_DIR", str(home / "dvc-global"))
        patch.setenv("DVC_SYSTEM_CONFIG_DIR", str(home / "dvc-system"))
        for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def prefect_server(_homes: None) -> Iterator[str]:
    """The address of a server with an empty database; flows of this process use it."""
    from flows.prefect_server import configure

    with pytest.MonkeyPatch.context() as patch:
        before = dict(os.environ)
        configure()
        for name in set(os.environ) - set(before):
            patch.setenv(name, os.environ.pop(name))
        from prefect.settings import PREFECT_API_URL
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=120):
            yield str(PREFECT_API_URL.value())


def all_that_prefect_stored() -> str:
    """Every row of its database: logs, states, artifacts, task runs, events."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    place = str(PREFECT_API_DATABASE_CONNECTION_URL.value()).partition("///")[2]
    with closing(sqlite3.connect(place)) as connection:
        return "\n".join(connection.iterdump())


@pytest.fixture
def toy(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a project of the given `dvc.yaml` and the project's own settings; gives its root."""

    def make(stages: str) -> Path:
        from dvc.repo import Repo

        (tmp_path / "dvc.yaml").write_text("stages:\n" + textwrap.indent(textwrap.dedent(stages), "  "))
        shutil.copy(PROJECT / "params.yaml", tmp_path)
        Repo.init(str(tmp_path), no_scm=True).close()
        return tmp_path

    return make


def alive(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be buried."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def eventually(holds: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Whether it holds within that time; the time is only how long a failing test takes to say so.

    It is asked the more seldom the longer it takes: what is asked of a server keeps two processes busy.
    """
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        if holds():
            return True
        time.sleep(min(0.5, max(0.05, elapsed / 20)))
    return False


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """At the end of the block it has ended, and all that it started: what a failed test leaves can stop the others."""
    with process:
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                for one in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
            process.kill()


def written_pid(path: Path) -> int:
    """The process number that a stage wrote to `path`, once it has."""
    assert eventually(lambda: path.is_file() and path.read_text().strip().isdigit())
    return int(path.read_text())
