"""The steps and commands, and what they share."""

import atexit
import gc
import sys


def collect_seldom() -> None:
    """For a program's first line: imports make some hundred thousand objects, none of them garbage.

    With Python's own thresholds, 700 and 10 and 10, looking through them is a quarter of the time that a step takes to
    start. At its end they need not be looked through either: that takes a second where torch or MLflow was imported.
    """
    gc.set_threshold(10_000, 50, 50)
    atexit.register(gc.freeze)


if sys.argv[:1] == ["-m"]:  # so it is called while `python -m components.train` looks for that module, and only then
    collect_seldom()
