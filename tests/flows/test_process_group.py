from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows import process_group
from tests.flows.conftest import alive, ending, eventually, written_pid

pytestmark = pytest.mark.service


def run(script: str, root: Path, stop: threading.Event | None = None, grace_s: float = 5.0) -> tuple[int, list[str]]:
    lines: list[str] = []
    code = process_group.run(["sh", "-c", script], root, os.environ, lines.append, stop or threading.Event(), grace_s)
    return code, lines


def test_lines_of_both_streams_come_in_order_with_the_exit_code(tmp_path: Path) -> None:
    assert run("echo one; echo two >&2; echo three; exit 4", tmp_path) == (4, ["one", "two", "three"])


def test_the_command_runs_in_the_root_and_reads_nothing_from_the_terminal(tmp_path: Path) -> None:
    assert run("pwd; cat", tmp_path) == (0, [str(tmp_path)])


def test_text_that_is_not_utf8_does_not_end_the_stream(tmp_path: Path) -> None:
    assert run(r"printf '\377\n'; echo after", tmp_path)[1] == ["\ufffd", "after"]


MORE_THAN_A_PIPE_HOLDS = "seq 20000"  # 64 KiB are what it holds


def test_a_log_on_a_full_disk_holds_up_nothing_and_goes_on_once_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.symlink_to("/dev/full")

    tries = itertools.count(1)

    def write(line: str) -> None:
        if next(tries) == 10_000:
            log.unlink()
        with log.open("a") as lines:
            print(line, file=lines)

    command = ["sh", "-c", MORE_THAN_A_PIPE_HOLDS]
    assert process_group.run(command, tmp_path, os.environ, write, threading.Event(), timeout_s=60) == 0
    said, *lines = log.read_text().splitlines()
    assert said == "(lines are missing here: No space left on device)"
    assert lines == [str(number) for number in range(10_000, 20_001)]
    assert capsys.readouterr().err.count("lines that cannot be written are left out") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_listens_and_fails_holds_up_nothing(tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise ValueError(line)

    command = ["sh", "-c", f"{MORE_THAN_A_PIPE_HOLDS}; exit 4"]
    assert process_group.run(command, tmp_path, os.environ, fail, threading.Event(), timeout_s=60) == 4


def test_a_command_ends_where_the_machine_has_no_room_to_listen_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        written_pid(tmp_path / "pid")
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        run("echo $$ > pid; sleep 600; sleep 600", tmp_path)
    assert eventually(lambda: not alive(int((tmp_path / "pid").read_text())), 20)


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    assert run("sleep 600 & echo $! > pid", tmp_path)[0] == 0
    assert eventually(lambda: not alive(int((tmp_path / "pid").read_text())), 20)


def stopped_once(path: Path, script: str, root: Path, grace_s: float) -> int:
    """Runs `script`, stops it once it wrote its number to `path`; gives the number."""
    stop = threading.Event()
    threading.Thread(target=lambda: (written_pid(path), stop.set())).start()
    with pytest.raises(process_group.Cancelled):
        run(script, root, stop, grace_s)
    return int(path.read_text())


def test_stopping_ends_grandchildren_too(tmp_path: Path) -> None:
    grandchild = stopped_once(tmp_path / "pid", "(sleep 600 & echo $! > pid; wait); echo no", tmp_path, 5.0)
    assert eventually(lambda: not alive(grandchild), 20)


def test_who_is_asked_to_end_may_finish_first(tmp_path: Path) -> None:
    stopped_once(
        tmp_path / "pid", "trap 'echo saved > state; exit' TERM; echo $$ > pid; sleep 600 & wait", tmp_path, 5.0
    )
    assert (tmp_path / "state").read_text() == "saved\n"


def test_who_does_not_listen_is_ended_after_the_grace(tmp_path: Path) -> None:
    deaf = stopped_once(tmp_path / "pid", "trap '' TERM; echo $$ > pid; sleep 600; sleep 600", tmp_path, 0.3)
    assert eventually(lambda: not alive(deaf), 20)


def test_killing_the_starter_outright_ends_the_group(tmp_path: Path) -> None:
    script = (
        "import os, threading; from pathlib import Path; from flows import process_group\n"
        "command = ['sh', '-c', 'sleep 600 & echo $! > pid; wait']\n"
        "process_group.run(command, Path(), os.environ, print, threading.Event())"
    )
    with ending(subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, text=True)) as starter:
        grandchild = written_pid(tmp_path / "pid")
        assert alive(grandchild)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        assert eventually(lambda: not alive(grandchild))
