"""Runs a step from the command line: its output and exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterable

from components.handover import Layout, StepError
from components.params import Params, ParamsError, load_here

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_step(step: Callable[[Layout, Params], Iterable[str]]) -> int:
    """`report`, for a step of the project in the working folder."""
    return report(lambda: step(Layout(), load_here()))


def report(work: Callable[[], Iterable[str]]) -> int:
    """Prints the lines of `work`. Gives 0, or 1 after an error that the user can mend, printed on stderr.

    Such errors are `StepError`, `ParamsError` and a full disk. Any other is a fault of the program and keeps its
    traceback.
    """
    try:
        for line in work():
            print(line)
    except (StepError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        cause = _disk_full(error)
        if cause is None:
            raise
        print(f"{cause.filename or 'a file'}: not written, {cause.strerror}. Make room and run again.", file=sys.stderr)
        return 1
    return 0


def _disk_full(error: BaseException | None) -> OSError | None:
    """The full disk's error: `error` or one of its causes, because pydicom raises another without the number."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        error = error.__cause__ or error.__context__
    return None
