"""What the checks do about a test that never ends, one that leaves a process behind, and one that fails once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import PROJECT, alive
from tests.hooks import IN_MEMORY, has_room

LEAVES_ONE_BEHIND = """
import subprocess

def test_that_leaves_one_behind():
    subprocess.Popen(["sleep", "611"], start_new_session=True)
"""
CLEANS_UP = """
import subprocess

def test_that_cleans_up():
    subprocess.run(["sleep", "0.01"], check=True)
"""
SLEEPS = """
import time

def wait_for_what_never_comes():
    time.sleep(600)

def test_that_sleeps():
    wait_for_what_never_comes()

def test_after_it():
    pass
"""
FAILS_ONCE = """
import pytest
from pathlib import Path

def fail_once(path):
    path.write_text(path.read_text() + "x" if path.is_file() else "x")
    assert path.read_text() == "xx"

@pytest.mark.service
def test_with_a_server(request):
    fail_once(request.path.parent / "server")

def test_without(request):
    fail_once(request.path.parent / "none")
"""

TELLS_WHERE = """
import tempfile
from pathlib import Path

def test_that_writes(request):
    folder = Path(tempfile.mkdtemp())
    (request.path.parent / "where").write_text(str(folder))
    assert {holds}
"""


def checked(folder: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    """What pytest says of the planted `test`, under the project's own settings and hooks."""
    (folder / "conftest.py").write_text("from tests.hooks import *\n")
    (folder / "test_planted.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-c", str(PROJECT / "pyproject.toml"), f"--rootdir={folder}"]
    command += ["-p", "no:cacheprovider", *options, str(folder)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_process_that_is_left_behind_fails_the_run_and_is_named_with_its_test(tmp_path: Path, workers: str) -> None:
    done = checked(tmp_path, LEAVES_ONE_BEHIND, "-n", workers)
    assert done.returncode == 1 and "1 passed" in done.stdout, done.stdout
    assert "(sleep 611) was left behind by" in done.stdout
    assert "test_planted.py::test_that_leaves_one_behind" in done.stdout
    (number,) = re.findall(r"process (\d+) ", done.stdout)
    assert not alive(int(number))


def test_a_run_that_leaves_nothing_behind_is_well(tmp_path: Path) -> None:
    done = checked(tmp_path, CLEANS_UP)
    assert done.returncode == 0 and "left behind" not in done.stdout, done.stdout


def test_a_test_that_never_ends_fails_with_its_stack_and_the_next_one_runs(tmp_path: Path) -> None:
    done = checked(tmp_path, SLEEPS, "--timeout=1")
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout, done.stdout
    assert "time.sleep(600)" in done.stdout and "wait_for_what_never_comes()" in done.stdout
    assert "Timeout (>1.0s)" in done.stdout


def test_only_what_starts_a_server_is_run_a_second_time_and_that_is_said(tmp_path: Path) -> None:
    done = checked(tmp_path, FAILS_ONCE)
    assert done.returncode == 1 and "1 failed, 1 passed, 1 rerun" in done.stdout, done.stdout
    assert "FAILED" in done.stdout and "test_without" in done.stdout
    assert re.search(r"^RERUN .*test_with_a_server", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("holds", [True, False])
def test_files_in_memory_are_gone_where_the_run_passed_and_are_told_of_where_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    done = checked(tmp_path, TELLS_WHERE.format(holds=holds))
    written = Path((tmp_path / "where").read_text())
    in_memory = written.is_relative_to(IN_MEMORY)
    assert in_memory == has_room(IN_MEMORY)
    assert written.exists() == (not in_memory or not holds)
    assert (f"stay in memory: remove {written.parent}" in done.stdout) == (in_memory and not holds), done.stdout
    shutil.rmtree(written.parent if in_memory else written, ignore_errors=True)


@pytest.mark.parametrize("told", ["CI=true", "MEDSR_REQUIRE_SERVICES=1"])
def test_a_required_program_that_is_missing_ends_the_checks_and_is_named(tmp_path: Path, told: str) -> None:
    for tool in ("bash", "dirname", "id"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    environment = {"PATH": str(tmp_path), **dict([told.split("=")])}
    done = subprocess.run(["bash", PROJECT / ".ci/run"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not done.stdout
    assert ".ci/run: expected dciodvfy, found none: install Debian's dicom3tools" in done.stderr
    assert ".ci/run: expected chromedriver, found none: install Debian's chromium-driver" in done.stderr
