from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import project_lock
from flows.project_lock import Held, hold, hold_in_turn, holder
from tests.flows.conftest import PROJECT, ending, eventually

HOLD = """
import sys, time
from pathlib import Path
from flows import project_lock
with project_lock.hold(Path(sys.argv[1]), "medsr run", {"profile": "quick"}):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlruns" / "run.lock"


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    with ending(process):
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process


def test_the_holder_is_told_with_its_command_its_host_and_since_when(path: Path) -> None:
    assert holder(path) is None and not path.exists(), "asking makes no file"
    before = datetime.now(UTC).replace(microsecond=0)
    with hold(path, "medsr run", {"profile": "full"}) as lock:
        named = holder(path)
        assert named and (named.pid, named.host, named.command) == (os.getpid(), socket.gethostname(), "medsr run")
        assert before <= datetime.fromisoformat(named.since) <= datetime.now(UTC)
        assert named.details == {"profile": "full"} and json.loads(path.read_text()) == named.as_dict()
        lock.tell({"profile": "quick", "stage": "train"})
        told = holder(path)
        assert told and told.details == {"profile": "quick", "stage": "train"} and told.since == named.since
    assert holder(path) is None and path.read_text() == ""


@pytest.mark.service
def test_a_lock_of_another_process_is_refused_by_name_and_free_once_that_is_killed(path: Path) -> None:
    with held_elsewhere(path) as process:
        with pytest.raises(Held) as refused, hold(path, "medsr run"):
            pass
        assert f"process {process.pid} on {socket.gethostname()} (`medsr run`, since 20" in str(refused.value)
        assert refused.value.holder.details == {"profile": "quick"}
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert str(process.pid) in path.read_text(), "nobody could empty the file"
        assert holder(path) is None
        with hold(path, "medsr up"):
            named = holder(path)
            assert named and (named.pid, named.command) == (os.getpid(), "medsr up")


@pytest.mark.service
def test_who_waits_its_turn_says_for_whom_and_goes_on_once_that_is_gone(path: Path) -> None:
    said, begun = list[str](), threading.Event()

    def wait_and_begin() -> None:
        with hold_in_turn(path, "medsr run", said.append):
            begun.set()

    with held_elsewhere(path) as process:
        waiting = threading.Thread(target=wait_and_begin)
        waiting.start()
        assert eventually(lambda: bool(said)) and not begun.wait(2.5 * project_lock.POLL_S)
        assert len(said) == 1 and said[0].startswith(f"Waiting for process {process.pid} on ")
        process.kill()
        assert begun.wait(60)
        waiting.join()


def test_who_only_asks_never_keeps_anybody_out(path: Path) -> None:
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            holder(path)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(300):
            with hold(path, "medsr run"):
                pass
    finally:
        done.set()
        for thread in asking:
            thread.join()


@pytest.mark.parametrize(
    "left", ["", "{", "[]", '{"pid": 1}', '{"pid": DEAD, "host": "HOST", "command": "x", "since": ""}']
)
def test_a_file_that_names_nobody_alive_is_not_believed(path: Path, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_lock, "NAMED_WITHIN_S", 0.1)
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = left.replace("DEAD", str(dead.pid)).replace("HOST", socket.gethostname())
    path.parent.mkdir()
    path.write_text(left)
    assert holder(path) is None
    with hold(path, "medsr run"):
        path.write_text(left)
        assert holder(path) == project_lock.UNNAMED
        with pytest.raises(Held, match="found a process that does not say which it is"), hold(path, "medsr run"):
            pass


def test_a_full_disk_keeps_nobody_from_the_lock(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with hold(path, "medsr run"):
        pass
