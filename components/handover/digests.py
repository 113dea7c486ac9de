"""Digests of settings, files and folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def fingerprint(*parts: Any) -> str:
    """One digest of `parts`, such as all that decides a training: if it differs, so does the training."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """One digest of the names and contents of the files that lie in `folder` itself."""
    return fingerprint(*((path.name, sha256_of(path)) for path in sorted(folder.iterdir())))
