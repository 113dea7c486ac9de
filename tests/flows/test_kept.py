from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows import kept, process_group
from flows.kept import Kept, Service
from tests.flows.conftest import eventually


@contextmanager
def keeping(root: Path, said: list[str], script: str, **environment: str) -> Iterator[None]:
    """A service named `one` that runs `script`, until the block ends."""
    running = Kept(root, root, os.environ, said.append)
    running.start(Service("one", ("sh", "-c", script), environment))
    try:
        yield
    finally:
        running.join()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(kept, "LONGEST_PAUSE_S", 0.05)


def test_what_ends_is_started_again_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    with keeping(tmp_path, said, "echo $NAME >> starts; exit 3", NAME="mine"):
        assert eventually(lambda: len(said) >= 2)
    assert said[0] == f"one ended, exit code 3; again in 0 s. See {tmp_path}/one.log"
    assert (tmp_path / "starts").read_text().startswith("mine\nmine\n")


@pytest.mark.parametrize("why", [BlockingIOError(11, "Resource temporarily unavailable"), RuntimeError("no thread")])
def test_a_machine_without_room_for_another_process_is_said_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    run, reasons, said = process_group.run, [why], list[str]()

    def once_refused(*arguments: Any) -> int:
        if reasons:
            raise reasons.pop()
        return run(*arguments)

    monkeypatch.setattr(process_group, "run", once_refused)
    with keeping(tmp_path, said, "touch there; exec sleep 600"):
        assert eventually((tmp_path / "there").exists)
    assert said == [f"one was not started: {why}; again in 0 s. See {tmp_path}/one.log"]


def test_a_log_stays_bounded_however_much_is_said_and_loses_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LOG_BYTES", 1000)
    with keeping(tmp_path, [], "seq -w 5000; touch past; exec sleep 600"):
        assert eventually(lambda: (tmp_path / "one.log").exists() and "5000" in (tmp_path / "one.log").read_text())
    logs = [tmp_path / name for name in ("one.log.3", "one.log.2", "one.log.1", "one.log")]
    assert sorted(tmp_path.glob("one.log*")) == sorted(logs)
    assert all(log.stat().st_size <= 1000 for log in logs)
    lines = "".join(log.read_text() for log in logs).split()
    assert lines == [f"{number:04}" for number in range(5001 - len(lines), 5001)] and len(lines) > 600


def test_a_log_on_a_full_disk_ends_no_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.log").symlink_to("/dev/full")
    said: list[str] = []
    with keeping(tmp_path, said, "seq 20000; touch past; exec sleep 600"):
        assert eventually((tmp_path / "past").exists)
    assert said == [] and "No space left on device" in capsys.readouterr().err


def test_the_last_lines_of_a_log_are_those_that_say_something(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    assert kept.last_lines(log) == f"{log} is empty."
    log.write_text("".join(f"{number}\n\n" for number in range(9000)))
    assert kept.last_lines(log, 2) == f"The last lines of {log}:\n  8998\n  8999"
    assert len(kept.last_lines(log).splitlines()) == 1 + kept.SHOWN_LINES
