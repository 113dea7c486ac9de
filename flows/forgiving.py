"""Output that survives a full disk: lines that cannot be written are left out, and a line says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any


class Forgiving:
    """Passes lines to `write` and leaves out those for which it raises `OSError`.

    The first one left out is reported on the error stream. Once `write` works again, a line marks the gap.
    """

    def __init__(self, write: Callable[[str], object], end: str = "") -> None:
        self._write, self._end, self._reason = write, end, ""

    def __call__(self, line: str) -> None:
        try:
            if self._reason:
                self._write(f"(lines are missing here: {self._reason}){self._end}")
                self._reason = ""
            self._write(line)
        except OSError as error:
            if not self._reason:
                self._reason = error.strerror or type(error).__name__
                with suppress(OSError):  # it may be full as well
                    print(f"lines that cannot be written are left out: {error}", file=sys.stderr, flush=True)


class ForgivingFile:
    """`file`, whose `write` is a `Forgiving` without buffer. Everything else is the file's own."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.write = Forgiving(self._written, end="\n")

    def flush(self) -> None:
        """Nothing is kept back."""

    def _written(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
