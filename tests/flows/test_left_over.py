from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flows import left_over
from tests.flows.conftest import alive, ending


def test_what_is_marked_is_ended_however_it_was_started_and_nothing_else(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    marked = os.environ | left_over.mark(tmp_path)
    elsewhere = os.environ | left_over.mark(tmp_path / "other")
    waits = [sys.executable, "-c", stubborn]
    with (
        ending(subprocess.Popen(waits, env=marked, stdout=subprocess.PIPE, text=True, start_new_session=True)) as one,
        ending(subprocess.Popen(["sleep", "600"], env=marked, text=True)) as other,
        ending(subprocess.Popen(["sleep", "600"], env=elsewhere, text=True)) as foreign,
    ):
        assert one.stdout and one.stdout.readline()
        assert left_over.end(tmp_path) == 2
        assert not alive(one.pid) and not alive(other.pid) and alive(foreign.pid)
        assert left_over.end(tmp_path) == 0
