from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from components.serving import connections
from components.serving.web import HEADERS
from tests.flows.conftest import eventually
from tests.serving.nodes import HOST, HTTP, TOKENS, settings
from tests.serving.test_service import Running, draw, running
from tests.serving.web import bring, calling, served

pytestmark = pytest.mark.service

TOKEN = f"Authorization: Bearer {TOKENS['ward']}"


@contextmanager
def line(service: Running) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, service.web), timeout=30) as found:
        yield found


def heard(found: socket.socket) -> bytes:
    """All that comes until the line is ended."""
    answer = b""
    with suppress(ConnectionError):
        while piece := found.recv(2**16):
            answer += piece
    return answer


def test_silent_connections_keep_nobody_out_and_the_oldest_make_room(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "sent", 1)
    with served(tmp_path) as (service, client), ExitStack() as held:
        silent = [held.enter_context(line(service)) for _ in range(HTTP.requests + connections.BESIDE + 20)]
        assert client.get("/health").status_code == 200
        assert bring(client, path)["state"] == "ready"
        assert [heard(one) for one in silent[:20]] == [b""] * 20


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_who_does_not_come_to_the_end_of_a_request_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connections, "SILENT_S", 0.5)
    with served(tmp_path) as (service, _), line(service) as slow:
        slow.sendall(begun)
        started = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < started + 20:
                slow.sendall(b"X" if begun else b"")
                slow.settimeout(0.05)
                with suppress(TimeoutError):
                    assert slow.recv(1) == b""
                    break
        assert time.monotonic() - started < 10


def test_a_kept_connection_is_ended_as_soon_as_a_new_one_however_slowly_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENT_S", 0.5)
    with served(tmp_path) as (service, _), line(service) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /heal")
        assert heard(slow).count(b"200 OK") == 1


def test_a_body_that_nobody_asked_for_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT_S", 0.5)
    with served(tmp_path) as (service, _), line(service) as stranger:
        stranger.sendall(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert b"401" in stranger.recv(2**16)
        until = time.monotonic() + 20
        with pytest.raises(ConnectionError):
            while time.monotonic() < until:
                stranger.sendall(b"\0" * 1000)


def test_who_does_not_read_the_answers_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STUCK_S", 0.5)
    with served(tmp_path) as (service, _), socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(30)
        deaf.connect((HOST, service.web))
        with pytest.raises(ConnectionError):
            while True:  # until nothing more is taken of it either
                deaf.sendall(100 * b"GET /page.js HTTP/1.1\r\nHost: x\r\n\r\n")


def test_more_requests_than_allowed_come_again_and_strangers_are_none_of_them(tmp_path: Path) -> None:
    half = f"POST /jobs HTTP/1.1\r\nHost: x\r\n{TOKEN}\r\nContent-Length: 1000\r\n\r\nhalf".encode()
    known = replace(settings(1), http=replace(HTTP, requests=2))
    with running(tmp_path, 1, known=known) as service, calling(service) as client, ExitStack() as held:
        for _ in range(20):
            held.enter_context(line(service)).sendall(half.replace(b"Bearer", b"Basic"))
        assert client.get(f"/jobs/{'0' * 32}").status_code == 404
        uploads = [held.enter_context(line(service)) for _ in range(2)]
        for upload in uploads:
            upload.sendall(half)
        assert eventually(lambda: len(list(service.service.spool.incoming.iterdir())) == 2)
        answer = client.get(f"/jobs/{'0' * 32}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert client.get("/health").status_code == 200 and client.get("/metrics").status_code == 200
        uploads[0].close()
        assert eventually(lambda: client.get(f"/jobs/{'0' * 32}").status_code == 404)


def test_what_is_no_request_is_refused_with_the_headers_that_every_answer_has_and_counted(tmp_path: Path) -> None:
    with served(tmp_path) as (service, client):
        with line(service) as garbled:
            garbled.sendall(b"DOE JANE\r\n\r\n")
            answer = heard(garbled).decode()
        assert answer.startswith("HTTP/1.1 400 ") and "DOE" not in answer
        assert all(f"{name}: {value}".lower() in answer.lower() for name, value in HEADERS.items())
        assert 'requests_total{method="other",route="none",status="400"} 1.0' in client.get("/metrics").text


def test_an_answer_that_takes_long_to_come_ends_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT_S", 0.2)
    with served(tmp_path) as (_, client):
        key = client.post("/jobs", content=draw(tmp_path / "sent", 1)[0].read_bytes()).json()["id"]
        monkeypatch.setattr("components.serving.jobs.ENDED", ())
        assert client.get(f"/jobs/{key}", params={"wait": 1}).json()["id"] == key
