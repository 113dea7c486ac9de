from __future__ import annotations

import errno
import io

import pytest

from flows.forgiving import Forgiving, ForgivingFile

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_what_cannot_be_written_is_said_once_and_again_where_it_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    written, full = list[str](), [False]

    def write(line: str) -> None:
        if full[0]:
            raise FULL
        written.append(line)

    tell = Forgiving(write)
    for full[0], line in ((False, "a"), (True, "b"), (True, "c"), (False, "d"), (False, "e")):
        tell(line)
    assert written == ["a", "(lines are missing here: No space left on device)", "d", "e"]
    assert capsys.readouterr().err == f"lines that cannot be written are left out: {FULL}\n"


def test_what_is_no_fault_of_the_disk_is_raised() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Forgiving(lambda line: int(line))("nothing")


def test_a_file_is_the_file_it_was_but_for_its_writing() -> None:
    file = io.StringIO()
    forgiving = ForgivingFile(file)
    forgiving.write("one\n")
    forgiving.flush()
    assert forgiving.getvalue() == "one\n" and forgiving.isatty() is False
