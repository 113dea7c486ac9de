"""Walks a folder of images: every entry once, with the reason where it cannot be opened, or is not to be.

Links are followed where they lead to a file inside the folder. A folder inside it is met by itself, so a link to it is
a second name. What lies outside was not named as a source, and nobody said what it is: such a link is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LEAVE_OUT = "or leave it out"


@dataclass(frozen=True)
class Entry:
    """What was met below the folder: something that can be opened, or else a `reason` why not."""

    name: str  # below the folder, with `/` between; bytes that are not UTF-8 are written as \\xNN
    path: Path
    reason: str = ""
    is_folder: bool = False


def walk(folder: Path) -> list[Entry]:
    """Every file below `folder`, ordered by name, and everything else that is no folder to be entered."""
    root = folder.resolve()
    return sorted(_entries(folder, folder, root), key=lambda entry: entry.name.split("/"))


def _entries(place: Path, folder: Path, root: Path) -> Iterator[Entry]:
    try:
        with os.scandir(place) as found:
            names = sorted(entry.name for entry in found)
    except OSError as error:
        yield _refused(place, folder, f"expected a folder that may be listed, found {_why(error)}. Permit it", True)
        return
    for name in names:
        path = place / name
        try:
            linked, entered = path.is_symlink(), path.is_dir()
            if linked or not entered:
                yield _link(path, folder, root) if linked else _file(path, folder)
        except OSError as error:
            yield _refused(path, folder, f"expected something that may be looked at, found {_why(error)}. Permit it")
            continue
        if entered and not linked:
            yield from _entries(path, folder, root)


def _link(path: Path, folder: Path, root: Path) -> Entry:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        loop = isinstance(error, RuntimeError) or "symbolic links" in str(error)
        found = "a link that leads back to itself" if loop else "a link whose target is not there"
        return _refused(path, folder, f"expected a file or a folder, found {found}. Bring the target here")
    is_folder = target.is_dir()
    if target == root or root in target.parents:
        return _inside(path, target, folder) if is_folder else _file(path, folder)
    return _refused(
        path, folder, "expected a file or folder of this source, found a link that leads out of it. Copy its target "
        "here, or name the target as a source", is_folder,
    )  # fmt: skip


def _inside(path: Path, target: Path, folder: Path) -> Entry:
    """A link to a folder whose files are met where it lies."""
    above = target in (path.parent.resolve(), *path.parent.resolve().parents)
    found = "a link to a folder that holds it" if above else "a second name of a folder, which is read where it lies"
    return _refused(path, folder, f"expected a folder, found {found}. Remove the link", True)


def _file(path: Path, folder: Path) -> Entry:
    name = _name(path, folder)
    if not path.is_file():
        return _refused(path, folder, "expected a file, found a pipe, a socket or a device. Move it away")
    if not _is_text(path.relative_to(folder).as_posix()):
        return _refused(path, folder, "expected a name in UTF-8, found other bytes. Rename it")
    try:
        with path.open("rb"):
            return Entry(name, path)
    except OSError as error:
        return _refused(path, folder, f"expected a file that may be read, found {_why(error)}. Permit it")


def _refused(path: Path, folder: Path, reason: str, is_folder: bool = False) -> Entry:
    return Entry(_name(path, folder), path, f"{reason}, {LEAVE_OUT}", is_folder)


def _name(path: Path, folder: Path) -> str:
    return _shown(path.relative_to(folder).as_posix()) or "."


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_text(name: str) -> bool:
    return _shown(name).encode() == os.fsencode(name)


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
