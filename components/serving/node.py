"""The DICOM node of the service: verification and storage for known peers.

PS3.4 Annex A (verification) and B (storage). An image is acknowledged once it is safe in the spool, not before.
Destinations may connect only to report storage commitment (Annex J).
"""

from __future__ import annotations

import logging
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES, _config, evt
from pynetdicom.presentation import PresentationContext, build_context

from components.dicom.write import SUPPORTED
from components.serving.doorway import open_to, plain
from components.serving.settings import Node, Tls
from components.serving.spool import DiskFull, Spool

LOGGER = logging.getLogger(__name__)
VERIFICATION, PUSH_MODEL = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1"
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
PERMANENT, UNKNOWN_CALLING, UNKNOWN_CALLED = (0x01, 0x01), 0x03, 0x07  # result and source, reasons (PS3.8 table 9-21)
FOR_NOW = 0x02, 0x03, 0x02  # local limit exceeded
LOOK_UP_S = 60.0  # for which the addresses of destinations are known
GIB = 2**30
LOOK_BYTES = 2**24  # of an image on its way, between looks whether there is room for more


class Storage:
    """Receives images into `spool`, and calls `arrived` after each.

    `answered` gets each report of storage commitment, and the names of the destinations that sent it.
    """

    def __init__(
        self,
        node: Node,
        spool: Spool,
        arrived: Callable[[], None],
        answered: Callable[..., tuple[int, None]],
    ) -> None:
        self._node, self._spool, self._arrived, self._answered = node, spool, arrived, answered
        self._peers = {(peer.ae_title.strip(), plain(peer.address)) for peer in node.peers}
        self._routes = {route.called.strip(): route.destination for route in node.routes}
        self._placing = threading.Lock()
        self._inside: list[Any] = []  # the associations that have a place
        self._answering, self._looked_up = set[str](), -LOOK_UP_S  # addresses of who commits, and when that was known

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Listens until the block ends; gives the port. Raises `OSError` where it is taken."""
        entity = AE(self._node.ae_title)
        entity.supported_contexts = _answers()  # whoever is let in gets their own
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_DATA_RECV, self._count),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._hear),
        ]
        address, tls = (self._node.host, self._node.port), tls_context(self._node.tls, ssl.PROTOCOL_TLS_SERVER)
        with _in_pieces(self._spool.incoming), open_to(self._knows, entity, address, tls, handlers) as port:
            yield port

    def _knows(self, address: str) -> bool:
        """Whether a peer or a committing destination has this address. Their titles are checked later."""
        if any(address == known for _, known in self._peers):
            return True
        if time.monotonic() > self._looked_up + LOOK_UP_S:  # not for every stranger: it may take its time
            hosts = [destination.host for destination in self._node.destinations if destination.commits]
            self._answering, self._looked_up = set[str]().union(*map(_addresses, hosts)), time.monotonic()
        return address in self._answering

    def _admit(self, event: Any) -> None:
        request, address = event.assoc.requestor.primitive, plain(event.assoc.requestor.address)
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        is_peer, commits = (calling, address) in self._peers, bool(self._committing(event.assoc))
        contexts = [*(_images() if is_peer and called in self._routes else ()), *(_answers() if commits else ())]
        if not contexts or called not in (*self._routes, self._node.ae_title.strip()):
            LOGGER.warning("%r at %s, calling %r: not let in", calling, address, called)
            _turn_away(event.assoc, *PERMANENT, UNKNOWN_CALLED if is_peer or commits else UNKNOWN_CALLING)
        elif not self._has_place(event.assoc):
            _turn_away(event.assoc, *FOR_NOW)
        else:
            event.assoc.acceptor.supported_contexts = contexts

    def _has_place(self, association: Any) -> bool:
        """Whether the association gets one of the places, which it holds until it ends."""
        with self._placing:
            self._inside = [inside for inside in self._inside if inside.is_alive()]
            free = len(self._inside) < self._node.associations
            self._inside += [association] * free
        return free

    def _committing(self, association: Any) -> list[str]:
        """The names of the committing destinations that opened this association."""
        calling = association.requestor.primitive.calling_ae_title.strip()
        address = plain(association.requestor.address)
        return [
            destination.name
            for destination in self._node.destinations
            if destination.commits
            and destination.ae_title.strip() == calling
            and address in _addresses(destination.host)
        ]

    def _hear(self, event: Any) -> tuple[int, None]:
        return self._answered(event, *self._committing(event.assoc))

    def _count(self, event: Any) -> None:
        brought = getattr(event.assoc, "medsr_bytes", 0) + len(event.data)
        event.assoc.medsr_bytes = brought
        if brought > self._node.association_gib * GIB and not event.assoc.is_aborted:
            LOGGER.warning("an association brought more than %g GiB: aborted", self._node.association_gib)
            event.assoc.abort()
        elif brought // LOOK_BYTES > (brought - len(event.data)) // LOOK_BYTES:
            self._check_room(event.assoc)

    def _check_room(self, association: Any) -> None:
        """Aborts before an image fills the disk: its sender keeps it and tries again."""
        try:
            self._spool.check_room()
        except DiskFull as error:
            LOGGER.error("an association is aborted: %s", error)
            if not association.is_aborted:
                association.abort()

    def _store(self, event: Any) -> int:
        requestor = event.assoc.requestor.primitive
        try:
            self._spool.take(
                event.dataset_path, self._routes[requestor.called_ae_title.strip()], requestor.calling_ae_title.strip()
            )
        except (DiskFull, OSError) as error:
            LOGGER.error("an image was not taken: %s", error)
            return OUT_OF_RESOURCES
        self._arrived()
        return SUCCESS


def _images() -> list[PresentationContext]:
    storage = [build_context(sop_class, ALL_TRANSFER_SYNTAXES) for sop_class in sorted(SUPPORTED)]
    return [build_context(VERIFICATION, DEFAULT_TRANSFER_SYNTAXES), *storage]


def _answers() -> list[PresentationContext]:
    """The context for reports: a destination opens the association and is its SCP all the same (PS3.4 J.3.3)."""
    context = build_context(PUSH_MODEL, DEFAULT_TRANSFER_SYNTAXES)
    context.scu_role, context.scp_role = False, True
    return [context]


def _turn_away(association: Any, result: int, source: int, reason: int) -> None:
    association.acse.send_reject(result, source, reason)
    association.kill()


def _addresses(host: str) -> set[str]:
    try:
        return {plain(str(info[4][0])) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return set()


@contextmanager
def _in_pieces(folder: Path) -> Iterator[None]:
    """Received images go straight to files in `folder`, and sent images come from files: none is whole in memory."""
    before = tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET, _config.STORE_SEND_CHUNKED_DATASET
    tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET, _config.STORE_SEND_CHUNKED_DATASET = str(folder), True, True
    try:
        yield
    finally:
        tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET, _config.STORE_SEND_CHUNKED_DATASET = before


def tls_context(tls: Tls, protocol: int) -> ssl.SSLContext | None:
    """A context in which both sides show a certificate that the authorities signed; `None` without TLS."""
    if not tls:
        return None
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.authorities)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
