"""Who gets as far as asking for an association, and how much of it is heard: the line below the DICOM node.

A title and a called title come in the first message; these connections have not shown one yet. So strangers are turned
away by their address before a byte is read, and what the others send is bounded in length and time.
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
    """The address as it is compared: IPv4 as such, also where it came over IPv6."""
    found = ipaddress.ip_address(address)
    return str(getattr(found, "ipv4_mapped", None) or found)


@contextmanager
def open_to(
    knows: Callable[[str], bool], entity: AE, where: tuple[str, int], tls: SSLContext | None, handlers: list[Any]
) -> Iterator[int]:
    """Listens until the block ends; gives the port. `knows` says which addresses may ask for an association.

    Raises `OSError` where the port is taken.
    """
    entity.acse_timeout = ASKING_S
    entity.maximum_associations = sys.maxsize  # it would count those who have not asked
    hearing = [(evt.EVT_CONN_OPEN, _bound), *handlers]
    door = _Door(knows, entity, where, entity.ae_title, entity.supported_contexts, tls, hearing)
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
        """A connection. TLS is agreed on when it is read from, so that who stays silent keeps nobody waiting."""
        assert self.socket is not None
        line, address = self.socket.accept()
        if self.ssl_context:
            line = self.ssl_context.wrap_socket(line, server_side=True, do_handshake_on_connect=False)
        return line, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        address = plain(client_address[0])
        if not self._knows(address):
            self._tell(address, "no peer's address")
            return False
        asking = [one for one in self.active_associations if not one.is_established]
        if sum(plain(one.requestor.address) == address for one in asking) >= ASKING:
            self._tell(address, f"{ASKING} connections without an association")
            return False
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOGGER.error("%s: a connection was ended: %s", client_address[0], type(sys.exception()).__name__)

    def shutdown(self) -> None:
        TCPServer.shutdown(self)
        self.server_close()

    def _tell(self, address: str, why: str) -> None:
        if len(self._told) >= TOLD:
            self._told.clear()
        if address not in self._told:
            LOGGER.warning("%s: %s: turned away, told once", address, why)
        self._told.add(address)


def _bound(event: Any) -> None:
    line = event.assoc.dul.socket
    line.recv = partial(_heard, line)


def _heard(line: Any, count: int) -> bytearray:
    """`count` bytes, fewer where the line ended. Raises `OSError` where they are too many or take too long."""
    until, heard = time.monotonic() + PDU_S, bytearray()
    try:
        if count > LONGEST_PDU:
            raise OSError(f"expected at most {LONGEST_PDU} bytes in a PDU, found {count}")
        while len(heard) < count:
            line.socket.settimeout(max(until - time.monotonic(), 0.001))
            piece = line.socket.recv(min(count - len(heard), 2**16))
            if not piece:
                break
            heard += piece
        line.socket.settimeout(PDU_S)  # for what is answered
    except OSError as error:
        LOGGER.warning("%s: a connection was ended: %s", line.assoc.requestor.address, error)
        raise  # whoever reads the line ends it
    return heard
