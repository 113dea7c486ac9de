"""What every reader of images shares: how large one may be, what broken files raise, and how that is told."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.errors import BytesLengthException

MAX_VALUES = 2**28  # 1 GiB of float32; a header that claims more is refused before anything is allocated
# what pydicom and its plugins raise on files that break the standard
BROKEN = (
    ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError, RuntimeError, EOFError, OSError,
    OverflowError, struct.error, zlib.error, BytesLengthException,
)  # fmt: skip
LONGEST_REASON = 300  # characters that are kept of what a library says
REMEDY = "Correct it, or leave the file out"


class UnreadableImage(Exception):
    """A file that holds no image this program can read. `name` is the file's, `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


class FaultyFile(ValueError):
    """The fault of a file, not of this program. Its text says what was expected, what was found and what to do."""


@contextmanager
def library(problem: str) -> Iterator[None]:
    """Around calls of libraries alone: what they raise on a broken file becomes `FaultyFile`, which begins `problem`.

    A fault of this program has to stay a traceback, so its own steps belong outside of the block.
    """
    try:
        yield
    except FaultyFile:
        raise
    except BROKEN as error:
        raise FaultyFile(with_remedy(f"{problem}: {one_line(error)}")) from error


@contextmanager
def faults_of(name: str) -> Iterator[None]:
    """`FaultyFile` becomes `UnreadableImage` of the file `name`."""
    try:
        yield
    except FaultyFile as error:
        raise UnreadableImage(name, str(error)) from error


def machine_lacks(error: BaseException | None) -> OSError | None:
    """What the system refused; pydicom wraps it, and raises `OSError` without a number for values that do not fit."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return OSError(error.errno, error.strerror)
        error = error.__cause__ or error.__context__
    return None


def with_remedy(reason: str) -> str:
    """`reason` and what to do, where it does not say so itself: by a sentence that ends, or by leaving the file out."""
    return reason if reason.endswith(".") or "leave the file out" in reason else f"{reason}. {REMEDY}"


def one_line(error: BaseException) -> str:
    """What `error` says, or else its kind."""
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
