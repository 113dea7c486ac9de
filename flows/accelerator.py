"""One stage at a time on this host's accelerator."""

from __future__ import annotations

import fcntl
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.process_group import POLL_S, Cancelled

LOOK_UP_S = 5.0  # seconds of waiting for the slot between looks at `stop`


def limit_name() -> str:
    """The Prefect global concurrency limit that stands for this host's accelerator."""
    return f"accelerator:{socket.gethostname()}"


@contextmanager
def accelerator(stop: threading.Event, embedded: bool) -> Iterator[None]:
    """Holds the accelerator for the length of the block, waiting for it first; makes the limit where it is missing.

    `embedded` says that the Prefect server is this run's own. Raises `Cancelled` once `stop` is set.

    A lock of the operating system stands around Prefect's slot: it ends with the process that holds it. The embedded
    server keeps slots on disk and leases in memory, so a run that was killed would hold its slot for ever. Whoever
    has the lock knows that nobody has the slot.
    """
    from prefect.concurrency.sync import concurrency
    from prefect.settings import PREFECT_HOME

    with _host_lock(Path(PREFECT_HOME.value()) / "accelerator.lock", stop), ExitStack() as slot:
        _ensure_limit(limit_name(), free=embedded)
        while True:
            try:
                slot.enter_context(
                    concurrency(
                        limit_name(), strict=True, timeout_seconds=LOOK_UP_S, raise_on_lease_renewal_failure=False
                    )
                )
                break
            except TimeoutError:
                if stop.is_set():
                    raise Cancelled("waiting for the accelerator") from None
        yield


def _ensure_limit(name: str, free: bool) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
        if free:
            client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))


@contextmanager
def _host_lock(path: Path, stop: threading.Event) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.wait(POLL_S):
                    raise Cancelled("waiting for the accelerator") from None
        yield
