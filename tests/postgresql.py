"""Debian's PostgreSQL, on loopback, with a database of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import needed
from tests.services import HOST, free_port

USER = "medsr"
NOBODY = "postgres"  # Debian's user of that name: its server does not run as root


@contextmanager
def served() -> Iterator[str]:
    """The address of an empty database, for asyncpg, until the block ends."""
    # Debian keeps its programs in no folder of the path
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    path = os.pathsep.join((os.environ["PATH"], *map(str, versions)))
    initdb, server = (
        needed(name, "postgresql", "Prefect's server is tried on SQLite alone", path) for name in ("initdb", "postgres")
    )
    folder, port = Path(tempfile.mkdtemp(prefix="medsr-postgresql-", dir="/var/tmp")), free_port()
    as_user = {"user": NOBODY, "cwd": folder} if os.getuid() == 0 else {"cwd": folder}
    if os.getuid() == 0:
        os.chown(folder, pwd.getpwnam(NOBODY).pw_uid, -1)
    data = str(folder / "data")
    try:
        command = [initdb, "--no-sync", "--auth", "trust", "--username", USER, "--pgdata", data]
        subprocess.run(command, check=True, capture_output=True, **as_user)  # type: ignore[call-overload]
        options = ["-D", data, "-p", str(port), "-k", str(folder), "-c", f"listen_addresses={HOST}", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([server, *options], stdout=log, stderr=log, **as_user)  # type: ignore[call-overload]
        try:
            yield f"postgresql+asyncpg://{USER}@{HOST}:{port}/postgres"
        finally:
            process.terminate()
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
