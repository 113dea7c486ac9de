"""Programs that come from no Python package."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needed(program: str, package: str, purpose: str, path: str | None = None) -> str:
    """Where `program` is, on `path` or the usual one; see `missing` for `package` and `purpose`."""
    return shutil.which(program, path=path) or missing(f"{program} is not on the path", package, purpose)


def missing(said: str, package: str, purpose: str) -> NoReturn:
    """Leaves the test out by name, or fails it where `MEDSR_REQUIRE_SERVICES=1`.

    `package` is Debian's that brings what is missing, `purpose` what is not tested without it.
    """
    if os.environ.get("MEDSR_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{said}, and MEDSR_REQUIRE_SERVICES=1: install Debian's {package}")
    pytest.skip(f"{said}: {purpose} (Debian's {package})")
