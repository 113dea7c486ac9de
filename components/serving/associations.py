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
    """The destination does not answer, or cannot take images, for now. The caller may try again."""


class TakesNone(Exception):
    """The destination takes none of these SOP classes."""


class Pauses:
    """The pauses before another try, by name. Each failure doubles the pause, up to an hour."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._pauses: dict[str, tuple[float, float]] = {}  # length in seconds, and end

    def is_paused(self, name: str) -> bool:
        _, end = self._pauses.get(name, (0.0, 0.0))
        return time.monotonic() < end

    def pause(self, name: str, reason: Away) -> None:
        """Starts a pause and logs its reason."""
        previous_s, _ = self._pauses.get(name, (self._first_s / 2, 0.0))
        pause_s = min(2 * previous_s, LONGEST_PAUSE_S)
        self._pauses[name] = pause_s, time.monotonic() + pause_s
        LOGGER.warning("%s: %s; again in %.0f s", name, reason, pause_s)

    def end(self, name: str) -> None:
        """Ends the pause: the destination answered."""
        self._pauses.pop(name, None)


@contextmanager
def associated(
    node: Node, destination: Destination, sop_classes: set[str], handlers: Sequence[Any] = ()
) -> Iterator[Any]:
    """An association for these SOP classes. Raises `Away` and `TakesNone`."""
    entity = AE(node.ae_title)
    for sop_class in sorted(sop_classes):
        entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
    context = tls_context(node.tls, ssl.PROTOCOL_TLS_CLIENT) if destination.tls else None
    association = entity.associate(
        destination.host,
        destination.port,
        ae_title=destination.ae_title,
        tls_args=(context, destination.host) if context else None,
        evt_handlers=list(handlers),
    )
    if association.rejected_contexts and not association.accepted_contexts:
        raise TakesNone(f"{destination.ae_title} takes none of the SOP classes {', '.join(sorted(sop_classes))}")
    if not association.is_established:
        reason = "turns us away" if association.is_rejected else "does not answer"
        raise Away(f"{destination.ae_title} at {destination.host}:{destination.port} {reason}")
    try:
        yield association
    finally:
        association.release()
