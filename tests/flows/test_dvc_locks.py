from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from components.handover import StepError
from flows.dvc_locks import release_dead_locks
from flows.stages import Outcome, Result, read_graph, run_stage, stale
from tests.flows.conftest import eventually

Toy = Callable[[str], Path]


def run(root: Path) -> Result:
    return run_stage(root, read_graph(root)[0], print, threading.Event())


def held_by(root: Path, pid: int) -> Path:
    """Leaves the lock of a DVC process that was killed while it wrote `out.txt`."""
    path = root / ".dvc" / "tmp" / "rwlock"
    holder = {"pid": pid, "cmd": "dvc repro"}
    path.write_text(json.dumps({"write": {str(root / "out.txt"): holder}, "read": {str(root / "in.txt"): [holder]}}))
    return path


def test_a_dead_lock_whose_process_number_is_another_s_by_now_is_released(toy: Toy) -> None:
    root = toy("only: {cmd: 'echo 1 > out.txt', outs: [out.txt]}")
    held_by(root, os.getpid())
    with pytest.raises(StepError, match="busy"):
        stale(root)
    assert release_dead_locks(root) == set()
    assert stale(root) == {"only": ("out.txt deleted",)}


def test_who_waits_for_a_dead_lock_releases_it(toy: Toy) -> None:
    root = toy("only: {cmd: 'echo 1 > out.txt', outs: [out.txt]}")
    held_by(root, os.getpid())
    assert run(root).outcome is Outcome.DONE


def test_a_list_of_locks_cut_off_in_the_writing_is_made_anew(toy: Toy) -> None:
    root = toy("only: {cmd: 'echo 1 > out.txt', outs: [out.txt]}")
    (root / ".dvc" / "tmp" / "rwlock").write_text('{"write": {"/')
    release_dead_locks(root)
    assert stale(root) == {"only": ("out.txt deleted",)}


def test_the_lock_of_a_dvc_at_work_is_left_alone(toy: Toy) -> None:
    root = toy("only: {cmd: 'echo 1 > out.txt', outs: [out.txt]}")
    dvc = subprocess.Popen(["sh", "-c", "sleep 600; :", "dvc", "repro"], start_new_session=True)
    try:
        assert eventually(lambda: b"dvc" in Path(f"/proc/{dvc.pid}/cmdline").read_bytes())
        path = held_by(root, dvc.pid)
        before = json.loads(path.read_text())
        assert release_dead_locks(root) == {dvc.pid}
        assert json.loads(path.read_text()) == before
        with pytest.raises(StepError, match="another run is at work"):
            stale(root)
    finally:
        os.killpg(dvc.pid, signal.SIGKILL)
        dvc.wait()
