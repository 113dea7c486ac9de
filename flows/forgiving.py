"""Output that a full disk does not end: what cannot be written is left out, and that is said."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any


class Forgiving:
    """Gives lines to `write`; no call raises `OSError`, for what it takes is left out.

    That is said once on the error stream, and where lines are missing once `write` takes them again.
    """

    def __init__(self, write: Callable[[str], object], end: str = "") -> None:
        self._write, self._end, self._why = write, end, ""

    def __call__(self, line: str) -> None:
        try:
            if self._why:
                self._write(f"(lines are missing here: {self._why}){self._end}")
                self._why = ""
            self._write(line)
        except OSError as error:
            if not self._why:
                self._why = error.strerror or type(error).__name__
                with suppress(OSError):  # it may be full as well
                    print(f"lines that cannot be written are left out: {error}", file=sys.stderr, flush=True)


class ForgivingFile:
    """`file`, with `Forgiving` writing to it at once; all else is the file's own."""

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
