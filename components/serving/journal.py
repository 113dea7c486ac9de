"""The service's journal: its own messages in full, and of other packages' messages only their source and line.

pydicom quotes the values it stumbles over, in warnings, log lines and exceptions; pynetdicom logs what it was sent.
"""

from __future__ import annotations

import copy
import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

LOGGER = logging.getLogger(__name__)
OWN = ("components", "flows", "uvicorn")  # uvicorn's words are fixed ones
QUIET = ("pydicom", "pynetdicom", "uvicorn")  # strangers can make these speak; below an error nobody needs to hear it


class Discreet(logging.Formatter):
    """Formats log lines without other packages' texts, and exceptions without their messages."""

    def format(self, record: logging.LogRecord) -> str:
        shown = copy.copy(record)
        shown.exc_text = shown.stack_info = None
        if record.name.partition(".")[0] not in OWN:
            shown.msg, shown.args = "%s said something: %s, line %d", (record.name, record.filename, record.lineno)
        return super().format(shown)

    def formatException(self, ei: Any) -> str:
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + (kind.__name__ if kind else "")


class Warned:
    """Logs each place that warns once, without the warning's text."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, int]] = set()

    def __call__(self, message: Any, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
        origin = category.__name__, Path(filename).name, lineno
        if origin not in self._told:
            self._told.add(origin)
            LOGGER.warning("%s from %s, line %d; told once", *origin)


def begin() -> None:
    """Sets up logging so that this process writes to stderr only what may stand in a journal."""
    handler = logging.StreamHandler()
    handler.setFormatter(Discreet("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.raiseExceptions = False  # it would print what could not be formatted
    for package in ("components", "flows"):
        logging.getLogger(package).setLevel(logging.INFO)
    for package in QUIET:
        logging.getLogger(package).setLevel(logging.ERROR)
    for category in (UserWarning, RuntimeWarning):
        warnings.simplefilter("always", category)  # Python's own way to tell once keeps every text in memory
    warnings.showwarning = Warned()
    threading.excepthook = _thread_ended
    sys.unraisablehook = _not_raised


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        LOGGER.error("a thread ended", exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback))


def _not_raised(error: Any) -> None:
    LOGGER.error("an error that nobody could be told of: %s", error.exc_type.__name__)
