from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from pydicom.uid import CTImageStorage

from components.serving import doorway
from components.serving.doorway import LONGEST_PDU, plain
from components.serving.node import SUCCESS
from components.serving.settings import Peer
from components.serving.spool import Spool
from tests.flows.conftest import eventually
from tests.serving.nodes import HOST, associated, committing, send
from tests.serving.test_node import drawn, listening, signed

pytestmark = pytest.mark.service

ELSEWHERE = "127.0.0.2"  # another address of this machine


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@contextmanager
def line(port: int, address: str = HOST) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), timeout=30, source_address=(address, 0)) as found:
        yield found


def ended(found: socket.socket) -> bool:
    try:
        return found.recv(1) == b""
    except ConnectionError:
        return True


def test_an_address_of_nobody_is_turned_away_before_it_says_anything(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(spool) as port:
        for _ in range(3):
            with line(port, ELSEWHERE) as stranger:
                assert ended(stranger)
        assert send(port, [drawn()], CTImageStorage) == [SUCCESS]
    assert [record.getMessage() for record in caplog.records if ELSEWHERE in record.getMessage()] == [
        f"{ELSEWHERE}: no peer's address: turned away, told once"
    ]


def test_a_destination_that_commits_may_ask_and_no_other(spool: Spool) -> None:
    with listening(spool, peers=(), destinations=committing(1)) as port:
        with associated(port, CTImageStorage) as association:
            assert association.is_rejected, "it is heard, and has the wrong title"
        with line(port, ELSEWHERE) as stranger:
            assert ended(stranger)


@pytest.mark.parametrize("kind", [0x01, 0x04])
def test_what_claims_to_be_long_is_not_waited_for(spool: Spool, kind: int) -> None:
    with listening(spool) as port:
        before = psutil.Process().memory_info().rss
        for claimed in (LONGEST_PDU + 1, 2**31, 2**32 - 1):
            with line(port) as peer, pytest.raises(ConnectionError):
                peer.sendall(bytes([kind, 0]) + claimed.to_bytes(4, "big"))
                for _ in range(200):
                    peer.sendall(b"\0" * 2**20)
        assert psutil.Process().memory_info().rss - before < 100 * 2**20
        assert send(port, [drawn()], CTImageStorage) == [SUCCESS]


def test_who_only_connects_takes_nobodys_place_and_is_ended(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "ASKING_S", 1.0)
    with listening(spool, associations=2) as port, ExitStack() as held:
        silent = [held.enter_context(line(port)) for _ in range(8)]
        assert send(port, [drawn()], CTImageStorage) == [SUCCESS]
        assert all(map(ended, silent))


def test_one_address_has_no_more_than_its_share_of_those_who_have_not_asked(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "ASKING", 4)
    peers = (Peer("SENDER", HOST), Peer("SENDER", ELSEWHERE))
    with listening(spool, peers=peers) as port, ExitStack() as held:
        for _ in range(4):
            held.enter_context(line(port, ELSEWHERE))
        assert ended(held.enter_context(line(port, ELSEWHERE)))
        assert send(port, [drawn()], CTImageStorage) == [SUCCESS]


@pytest.mark.parametrize("begun", [b"\x01", b"\x01\x00\x00\x00\x10\x00trickle"])
def test_who_stops_in_the_middle_of_a_message_is_ended(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(doorway, "PDU_S", 1.0)
    with listening(spool) as port, line(port) as peer:
        peer.sendall(begun)
        assert ended(peer)


def test_who_is_silent_where_tls_is_wanted_keeps_nobody_waiting(spool: Spool, tmp_path: Path) -> None:
    ours = signed(tmp_path, "ours")
    context = ssl.create_default_context(cafile=ours.authorities)
    context.load_cert_chain(ours.certificate, ours.key)
    with listening(spool, tls=ours) as port, line(port), line(port) as half:
        half.sendall(b"\x16\x03\x01")
        with associated(port, CTImageStorage, tls_args=(context, HOST)) as association:
            assert association.send_c_store(drawn()).Status == SUCCESS


def test_a_place_is_free_again_once_its_association_ended(spool: Spool) -> None:
    def comes_in() -> bool:
        return send(port, [drawn()], CTImageStorage) == [SUCCESS]

    with listening(spool, associations=1) as port:
        with associated(port, CTImageStorage) as first:
            assert first.is_established and not comes_in()
        assert eventually(comes_in)


@pytest.mark.parametrize(
    ("written", "compared"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("192.0.2.7", "192.0.2.7"), ("2001:db8:0:0::1", "2001:db8::1")],
)
def test_an_address_is_the_same_however_it_is_written(written: str, compared: str) -> None:
    assert plain(written) == compared
