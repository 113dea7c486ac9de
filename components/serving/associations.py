"""Associations that the service opens: to its destinations, and not too often to one that is away."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from components.serving.node import tls_context
from components.serving.settings import Destination, Node

LOGGER = logging.getLogger(__name__)
LONGEST_PAUSE_S = 3600.0


class Away(Exception):
    """The destination does not answer, or not as wanted, now; later it may."""


class TakesNone(Exception):
    """The destination takes none of these SOP classes."""


class Pauses:
    """Which destinations rest: each time it was away, twice as long, at least once an hour it is tried."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._pauses: dict[str, tuple[float, float]] = {}  # how long, and until when

    def rests(self, name: str) -> bool:
        _, until = self._pauses.get(name, (0.0, 0.0))
        return time.monotonic() < until

    def rest(self, name: str, why: Away) -> None:
        """It is not tried for a while; the log says why."""
        before, _ = self._pauses.get(name, (self._first_s / 2, 0.0))
        pause = min(2 * before, LONGEST_PAUSE_S)
        self._pauses[name] = pause, time.monotonic() + pause
        LOGGER.warning("%s: %s; again in %.0f s", name, why, pause)

    def end(self, name: str) -> None:
        """It answered."""
        self._pauses.pop(name, None)


@contextmanager
def associated(node: Node, destination: Destination, kinds: set[str], handlers: Sequence[Any] = ()) -> Iterator[Any]:
    """An association for the SOP classes `kinds`. Raises `Away` and `TakesNone`."""
    entity = AE(node.ae_title)
    for kind in sorted(kinds):
        entity.add_requested_context(kind, ExplicitVRLittleEndian)
    context = tls_context(node.tls, ssl.PROTOCOL_TLS_CLIENT) if destination.tls else None
    association = entity.associate(
        destination.host,
        destination.port,
        ae_title=destination.ae_title,
        tls_args=(context, destination.host) if context else None,
        evt_handlers=list(handlers),
    )
    if association.rejected_contexts and not association.accepted_contexts:
        raise TakesNone(f"{destination.ae_title} takes none of the SOP classes {', '.join(sorted(kinds))}")
    if not association.is_established:
        why = "turns us away" if association.is_rejected else "does not answer"
        raise Away(f"{destination.ae_title} at {destination.host}:{destination.port} {why}")
    try:
        yield association
    finally:
        association.release()
