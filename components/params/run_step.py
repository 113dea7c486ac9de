"""A step from the command line: what it says, and how it ends."""

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
    """Prints the lines of `work`; 0, or 1 after saying on stderr what was expected, what came and what to do.

    Expected are `StepError`, `ParamsError` and a disk that takes no more; whatever else comes is a fault of the
    program and shows where.
    """
    try:
        for line in work():
            print(line)
    except (StepError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        full = _full(error)
        if full is None:
            raise
        print(f"{full.filename or 'a file'}: not written, {full.strerror}. Make room and run again.", file=sys.stderr)
        return 1
    return 0


def _full(error: BaseException | None) -> OSError | None:
    """The disk's own word, where `error` is it or was raised for it: pydicom raises another without the number."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        error = error.__cause__ or error.__context__
    return None
