"""What is known of each file in a source: `data/.files.sqlite`, for whoever holds the archive, never in git or DVC.

A file's name may tell who is in it. So tables, pages, messages and logs name a file of a private source by its key
alone (`Pseudonyms.file`), and only this register leads back. It also remembers the digests of files, so that one of
the same size and time is not read again, and which files a source held at the last run.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.handover import StepError, sha256_of

TABLES = """
create table if not exists file (
    source text not null, name blob not null, key text not null, path blob not null, image_id text not null default '',
    primary key (source, name)
) without rowid;
create table if not exists digest (
    path blob not null primary key, size integer not null, mtime_ns integer not null, sha256 text not null
) without rowid;
create table if not exists listed (
    source text not null, name blob not null, sha256 text not null, primary key (source, name)
) without rowid;
create table if not exists remembered (
    source text not null, task text not null, name blob not null, mark text not null, content text not null,
    primary key (source, task, name)
);
"""  # names and paths as the bytes they are: not every one is UTF-8


@dataclass(frozen=True)
class Origin:
    """Where an image came from."""

    key: str  # what `file_name` says in `data/raw/index.csv`
    image_id: str  # empty where ingest did not come so far
    source: str  # as in params.yaml
    name: str  # below its source
    path: str  # empty where an image is no file: one of a `.npz`, or a simulated one


class FileRegister:
    """The register in the file `path`, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, origins: Iterable[Origin]) -> None:
        """Adds files, and replaces what was said of them."""
        rows = [
            (origin.source, os.fsencode(origin.name), origin.key, os.fsencode(origin.path), origin.image_id)
            for origin in origins
        ]
        with self._opened() as connection, connection:
            connection.executemany("insert or replace into file values (?, ?, ?, ?, ?)", rows)

    def find(self, wanted: str) -> list[Origin]:
        """Every file whose key or image_id is `wanted`, by source and name."""
        return self._select("where key = ? or image_id = ?", wanted, wanted)

    def all(self) -> list[Origin]:
        """Every file, by source and name."""
        return self._select("")

    def digests(self, paths: Sequence[Path]) -> dict[Path, str]:
        """The SHA-256 of each file, empty where it cannot be read.

        One that has the size and time of when it was last read is not read again.
        """
        if not paths:
            return {}
        with self._opened() as connection, connection:
            rows = connection.execute("select path, size, mtime_ns, sha256 from digest")
            known = {path: (size, mtime_ns, sha256) for path, size, mtime_ns, sha256 in rows}
            digests: dict[Path, str] = {}
            news = []
            for path in paths:
                key = os.fsencode(path.absolute())
                size, mtime_ns, sha256 = known.get(key, (None, None, ""))
                try:
                    status = path.stat()
                    if (size, mtime_ns) != (status.st_size, status.st_mtime_ns):
                        sha256 = sha256_of(path)
                        news.append((key, status.st_size, status.st_mtime_ns, sha256))
                except OSError:
                    sha256 = ""
                digests[path] = sha256
            connection.executemany("insert or replace into digest values (?, ?, ?, ?)", news)
        return digests

    def list_files(self, digests: Mapping[str, Mapping[str, str]]) -> None:
        """Keeps which files each source holds, in place of what was kept before: digests by source and name."""
        if not digests and not self._path.is_file():
            return
        rows = [(source, os.fsencode(name), sha) for source, names in digests.items() for name, sha in names.items()]
        with self._opened() as connection, connection:
            connection.execute("delete from listed")
            connection.executemany("insert into listed values (?, ?, ?)", rows)

    def listed(self, source: str) -> dict[str, str]:
        """The digests of the files that `source` held at the last run, by name."""
        if not self._path.is_file():
            return {}
        with self._opened() as connection:
            rows = connection.execute("select name, sha256 from listed where source = ?", (source,)).fetchall()
        return {os.fsdecode(name): sha256 for name, sha256 in rows}

    def remember(self, source: str, task: str, contents: Mapping[str, tuple[str, str]]) -> None:
        """Keeps mark and content for each file of `source` and `task`, by name, in place of what was kept before."""
        if not contents and not self._path.is_file():
            return
        rows = [(source, task, os.fsencode(name), *content) for name, content in contents.items()]
        with self._opened() as connection, connection:
            connection.execute("delete from remembered where source = ? and task = ?", (source, task))
            connection.executemany("insert into remembered values (?, ?, ?, ?, ?)", rows)

    def remembered(self, source: str, task: str) -> dict[str, tuple[str, str]]:
        """What `remember` kept, by name."""
        if not self._path.is_file():
            return {}
        with self._opened() as connection:
            query = "select name, mark, content from remembered where source = ? and task = ?"
            rows = connection.execute(query, (source, task))
            return {os.fsdecode(name): (mark, content) for name, mark, content in rows}

    def _select(self, condition: str, *values: str) -> list[Origin]:
        if not self._path.is_file():
            return []
        query = f"select source, name, key, path, image_id from file {condition} order by source, name"
        with self._opened() as connection:
            rows = connection.execute(query, values).fetchall()
        return [
            Origin(key=key, image_id=image_id, source=source, name=os.fsdecode(name), path=os.fsdecode(path))
            for source, name, key, path, image_id in rows
        ]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Raises `StepError` where the file is no such register, `OSError` where the disk takes no more."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(self._path, timeout=60)) as connection:
            try:
                connection.executescript(TABLES)
                yield connection
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                    raise
                raise OSError(errno.ENOSPC, str(error), str(self._path)) from error  # SQLite keeps the system's number
            except sqlite3.DatabaseError as error:
                raise StepError(f"{self._path}: expected the register of files, found {error}. Remove it.") from error
