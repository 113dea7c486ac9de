from __future__ import annotations

import errno
import io

import pytest
from rich.console import Console

from flows.board import Board
from flows.stages import Outcome, Result, Stage

STAGES = (Stage("prepare"), Stage("train@srcnn"))


def shown(terminal: bool = False) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=60, force_terminal=terminal, color_system=None), stream


def test_each_line_names_its_stage_and_stays_whole() -> None:
    console, stream = shown()
    long = "x" * 200
    with Board(console, STAGES) as board:
        board.log("prepare", long)
        board.log("train@srcnn", "[bold] is no markup")
    assert stream.getvalue() == f"prepare     │ {long}\ntrain@srcnn │ [bold] is no markup\n"


def test_a_board_that_does_not_echo_still_sums_up() -> None:
    console, stream = shown()
    with Board(console, STAGES, echo=False) as board:
        board.log("prepare", "a line")
    board.summary([Result("prepare", Outcome.DONE)])
    assert "a line" not in stream.getvalue()
    assert "prepare" in stream.getvalue()


def test_the_terminal_says_what_runs_now() -> None:
    console, stream = shown(terminal=True)
    with Board(console, STAGES) as board:
        board.started("train@srcnn")
        board.ended("prepare", Outcome.CACHED)
        board.log("train@srcnn", "step 1")
    assert "━" * 10 + " " * 11 + "1 of 2  train@srcnn 0:00" in stream.getvalue()


class Disk(io.StringIO):
    """A file on a disk that is full until it has `room`."""

    room = False

    def write(self, text: str) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_full_disk_fails_nothing_and_what_follows_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    disk = Disk()
    with Board(Console(file=disk, width=60), STAGES) as board:
        board.started("prepare")
        for _ in range(3):
            board.log("prepare", "lost")
        disk.room = True
        board.log("prepare", "kept")
    assert disk.getvalue() == "(lines are missing here: No space left on device)\nprepare     │ kept\n"
    assert capsys.readouterr().err.count("left out") == 1


def test_the_summary_has_a_row_a_stage_and_each_failure_once() -> None:
    console, stream = shown()
    Board(console, STAGES).summary(
        [
            Result("prepare", Outcome.FAILED, message="prepare failed, exit code 1:\n  out of paper"),
            Result("train@srcnn", Outcome.SKIPPED),
        ]
    )
    text = stream.getvalue()
    assert [line.split()[:2] for line in text.splitlines()[1:3]] == [["prepare", "failed"], ["train@srcnn", "skipped"]]
    assert text.count("out of paper") == 1
