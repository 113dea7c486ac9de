"""The TCP connections below the DICOM node: who may connect, and how much and how long each may send.

AE titles come in the first message only. Strangers are turned away by their address before a byte is read. The messages
of others are bounded in length and time.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from socketserver import TCPServer
from ssl import SSLContext
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.transport import AssociationServer

LOGGER = logging.getLogger(__name__)
LONGEST_PDU = 2**20  # bytes; 128 contexts with every transfer syntax are 0.2 MiB, and we ask for data in 16 KiB
PDU_S = 60.0  # from its first byte to its last
ASKING_S = 10.0  # from the connection to an association
ASKING = 64  # connections of one address that have no association
TOLD = 1000  # strangers, before the log may name the same ones again


def plain(address: str) -> str:
    """The address in the form that is compared: an IPv4 address that came over IPv6 is IPv4 again."""
    parsed = ipaddress.ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


@contextmanager
def open_to(
    knows: Callable[[str], bool], entity: AE, address: tuple[str, int], tls: SSLContext | None, handlers: list[Any]
) -> Iterator[int]:
    """Listens until the block ends, and gives the port. `knows` says which addresses may connect.

    Raises `OSError` where the port is taken.
    """
    entity.acse_timeout = ASKING_S
    entity.maximum_associations = sys.maxsize  # it would count those who have not asked
    bounded_handlers = [(evt.EVT_CONN_OPEN, _limit_reads), *handlers]
    door = _Door(knows, entity, address, entity.ae_title, entity.supported_contexts, tls, bounded_handlers)
    thread = threading.Thread(target=door.serve_forever, name="dicom")
    thread.start()
    try:
        yield int(door.server_address[1])
    finally:
        door.shutdown()
        thread.join()
        entity.shutdown()


class _Door(AssociationServer):
    def __init__(self, knows: Callable[[str], bool], *arguments: Any) -> None:
        self._knows, self._told = knows, set[str]()
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection. Its TLS handshake waits for the first read: a silent client keeps nobody waiting."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        if self.ssl_context:
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        address = plain(client_address[0])
        if not self._knows(address):
            self._tell(address, "no peer's address")
            return False
        asking = [association for association in self.active_associations if not association.is_established]
        if sum(plain(association.requestor.address) == address for association in asking) >= ASKING:
            self._tell(address, f"{ASKING} connections without an association")
            return False
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOGGER.error("%s: a connection was ended: %s", client_address[0], type(sys.exception()).__name__)

    def shutdown(self) -> None:
        TCPServer.shutdown(self)
        self.server_close()

    def _tell(self, address: str, reason: str) -> None:
        if len(self._told) >= TOLD:
            self._told.clear()
        if address not in self._told:
            LOGGER.warning("%s: %s: turned away, told once", address, reason)
        self._told.add(address)


def _limit_reads(event: Any) -> None:
    connection = event.assoc.dul.socket
    connection.recv = partial(_receive, connection)


def _receive(connection: Any, count: int) -> bytearray:
    """Reads `count` bytes, or fewer where the connection ended. Raises `OSError` for too many or too slow bytes."""
    deadline, received = time.monotonic() + PDU_S, bytearray()
    try:
        if count > LONGEST_PDU:
            raise OSError(f"expected at most {LONGEST_PDU} bytes in a PDU, found {count}")
        while len(received) < count:
            connection.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            chunk = connection.socket.recv(min(count - len(received), 2**16))
            if not chunk:
                break
            received += chunk
        connection.socket.settimeout(PDU_S)  # for what is answered
    except OSError as error:
        LOGGER.warning("%s: a connection was ended: %s", connection.assoc.requestor.address, error)
        raise  # whoever reads the connection ends it
    return received
