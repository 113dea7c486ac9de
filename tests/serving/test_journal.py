from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from components.serving.journal import Discreet, Warned
from tests.flows.conftest import PROJECT


def line(name: str, message: str, *arguments: object, exception: BaseException | None = None) -> str:
    info = (type(exception), exception, exception.__traceback__) if exception else None
    return Discreet().format(logging.LogRecord(name, logging.ERROR, "/a/b.py", 7, message, arguments, info))


def test_our_own_words_are_told_and_of_others_only_who_spoke_and_where() -> None:
    assert line("components.serving.node", "%s: made", "0af3") == "0af3: made"
    assert line("pynetdicom.dul", "Doe^Jane") == "pynetdicom.dul said something: b.py, line 7"
    assert line("pydicom", "%s", "Doe^Jane") == "pydicom said something: b.py, line 7"


def test_of_an_exception_its_type_and_its_way_are_told() -> None:
    def reads(value: str) -> None:
        raise ValueError(value) from KeyError(value)

    read = "Doe^Jane"  # the lines of the program are told, so that it stands in none of them
    with pytest.raises(ValueError, match="Doe") as raised:
        reads(read)
    told = line("uvicorn.error", "Exception in ASGI application", exception=raised.value)
    assert told.endswith("ValueError") and "in reads" in told
    assert "Doe" not in told


def test_a_place_that_warns_is_told_once_and_not_its_words(caplog: pytest.LogCaptureFixture) -> None:
    warned = Warned()
    for number in range(3):
        warned(UserWarning(f"Doe{number}"), UserWarning, "/x/valuerep.py", 12)
    warned(UserWarning("Doe"), UserWarning, "/x/valuerep.py", 13)
    assert [record.getMessage() for record in caplog.records] == [
        "UserWarning from valuerep.py, line 12; told once",
        "UserWarning from valuerep.py, line 13; told once",
    ]


def test_whatever_a_process_would_print_of_itself_is_told_so_too() -> None:
    program = """
import logging, threading, warnings
from components.serving import journal
class Last:
    def __del__(self): raise ValueError("Doe")
def ends(): raise ValueError("Doe")
journal.begin()
warnings.warn("Doe")
Last()
thread = threading.Thread(target=ends); thread.start(); thread.join()
logging.getLogger("pydicom").error("Doe %d", "Doe")
logging.getLogger("components").info("not %d to be formatted", "Doe")
logging.getLogger("components").info("ours")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    told = [text.partition(" ")[2].partition(" ")[2] for text in done.stderr.splitlines() if text[:2] == "20"]
    assert told == [
        "WARNING UserWarning from <string>, line 8; told once",
        "ERROR an error that nobody could be told of: ValueError",
        "ERROR a thread ended",
        "ERROR pydicom said something: <string>, line 11",
        "INFO ours",
    ]
    assert "Doe" not in done.stderr.replace('raise ValueError("Doe")', "")
