"""One stage at a time on this host's accelerator."""

from __future__ import annotations

import fcntl
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from flows import prefect_server
from flows.process_group import POLL_S, Cancelled

LOOK_UP_S = 5.0  # seconds of waiting for the slot between looks at `stop`


def limit_name() -> str:
    """The Prefect global concurrency limit that stands for this host's accelerator."""
    return f"accelerator:{socket.gethostname()}"


@contextmanager
def accelerator(stop: threading.Event, embedded: bool) -> Iterator[None]:
    """Waits for the accelerator and holds it for the length of the block. Makes the limit where it is missing.

    `embedded` says that the Prefect server is this run's own. Raises `Cancelled` once `stop` is set.

    A lock of the operating system stands around Prefect's slot. It ends with the process that holds it, and it works
    alone where Prefect's server does not answer. A slot stays taken where its holder was killed or the server was away
    at the end, and a server that keeps leases in memory never notices. The locked file therefore names the server at
    which the last holder left a slot taken. At the embedded server the holder of the lock has the slot.

    The next holder frees that slot. It is another user's only where all of this is so: that user of this host (with a
    lock in their own `PREFECT_HOME`) shares the server, this user's process was killed, its lease ran out (300 s), and
    the other took the slot meanwhile. The server does not tell who holds it. Two then use the accelerator until one
    ends. Both give right results, or lack memory and are tried again.
    """
    import httpx
    from prefect.settings import PREFECT_HOME

    with _host_lock(Path(PREFECT_HOME.value()) / "accelerator.lock", stop) as taken_at:
        slot = _slot(stop, embedded, taken_at)
        try:
            yield
        finally:
            with suppress(httpx.HTTPError):  # what was done under the slot stays done
                slot.close()
            with suppress(httpx.HTTPError):
                if prefect_server.answers() and not _taken():
                    taken_at.truncate(0)


def _slot(stop: threading.Event, embedded: bool, taken_at: IO[str]) -> ExitStack:
    """Prefect's slot, held until the stack is closed. The stack is empty where the server does not answer or record."""
    import httpx
    from prefect.concurrency.sync import concurrency
    from prefect.settings import PREFECT_API_URL

    slot, server = ExitStack(), str(PREFECT_API_URL.value())
    taken_at.seek(0)
    slot_is_ours = embedded or taken_at.read() == server
    while prefect_server.answers():
        try:
            _ensure_limit(limit_name(), free=slot_is_ours)
        except httpx.HTTPError:  # its disk is full, for one
            break
        slot_is_ours = False
        taken_at.truncate(0)
        taken_at.write(server)
        taken_at.flush()
        try:
            slot.enter_context(
                concurrency(limit_name(), strict=True, timeout_seconds=LOOK_UP_S, raise_on_lease_renewal_failure=False)
            )
            break
        except TimeoutError:
            if stop.is_set():
                taken_at.truncate(0)  # another has it
                raise Cancelled("waiting for the accelerator") from None
    return slot


def _taken() -> bool:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return bool(client.read_global_concurrency_limit_by_name(limit_name()).active_slots)


def _ensure_limit(name: str, free: bool) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
        if free:
            client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))


@contextmanager
def _host_lock(path: Path, stop: threading.Event) -> Iterator[IO[str]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.wait(POLL_S):
                    raise Cancelled("waiting for the accelerator") from None
        yield handle
