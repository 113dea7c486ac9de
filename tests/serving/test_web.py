from __future__ import annotations

import errno
import logging
import shutil
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from components.handover import Layout, StepError
from components.serving.champion import Champion
from components.serving.desk import Desk
from components.serving.metrics import Metrics
from components.serving.service import Ports, Service
from components.serving.spool import Spool
from components.serving.web import FILES, HEADERS, Web
from tests.flows.conftest import eventually
from tests.serving.nodes import BICUBIC, HOST, HTTP, TOKENS, settings
from tests.serving.test_service import SECRETS, draw, running
from tests.serving.web import bring, calling, multipart, served

pytestmark = pytest.mark.service

OPEN = {*FILES, "/health", "/ready", "/metrics", "/openapi.json"}


def routes(tmp_path: Path) -> list[tuple[str, str]]:
    """Every method and path that the service answers."""
    spool = Spool(tmp_path / "other")
    web = Web(
        Desk(settings(1), spool, lambda: None, lambda _: None, lambda _: False),
        Metrics(spool, Champion(lambda: BICUBIC)),
    )
    paths = web.application().openapi()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def test_nobody_without_a_token_gets_an_image_in_or_out(tmp_path: Path) -> None:
    asked = [(method, path) for method, path in routes(tmp_path) if path not in OPEN]
    assert {path for _, path in asked} == {
        "/jobs", "/jobs/{key}", "/jobs/{key}/image", "/jobs/{key}/picture", "/studies", "/studies/{study}",
    }  # fmt: skip
    (path,) = draw(tmp_path / "sent", 1)
    body, kind = multipart(path.read_bytes())
    with served(tmp_path) as (service, client), calling(service, "") as nobody:
        key = bring(client, path)["id"]
        before = service.service.spool.counts()
        wrong = ["", "Bearer", "Bearer wrong", f"Basic {TOKENS['ward']}", f"Bearer {TOKENS['ward']}x"]
        wrong += [f"Bearer {token.sha256}" for token in HTTP.tokens]
        for method, route in asked:
            for shown in wrong:
                headers = kind | ({"Authorization": shown} if shown else {})
                answer = nobody.request(
                    method, route.replace("{key}", key).replace("{study}", "1.2.3"), headers=headers, content=body
                )
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (
                    method,
                    route,
                    shown,
                )
        assert nobody.get(f"/jobs/{key}", params={"token": TOKENS["ward"]}).status_code == 401
        assert service.service.spool.counts() == before
        assert list(service.service.spool.incoming.iterdir()) == []


def test_every_other_route_is_known_to_be_open(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "other")
    web = Web(
        Desk(settings(1), spool, lambda: None, lambda _: None, lambda _: False),
        Metrics(spool, Champion(lambda: BICUBIC)),
    )
    described = {path for _, path in routes(tmp_path)}
    hidden = {route.path for route in web.application().routes if isinstance(route, APIRoute)} - described  # the page
    assert hidden <= OPEN
    with served(tmp_path) as (service, _), calling(service, "") as nobody:
        for path in OPEN:
            assert nobody.get(path).status_code == 200, path
        for path in ("/docs", "/redoc", "/../pyproject.toml", "/page.html"):
            assert nobody.get(path).status_code == 404, path


def test_who_has_no_line_in_the_settings_has_no_way_in(tmp_path: Path) -> None:
    known = settings(1)
    service = Service(Layout(tmp_path), replace(known, http=replace(HTTP, tokens=())), Champion(lambda: BICUBIC))
    stop, heard = threading.Event(), list[Ports]()
    thread = threading.Thread(target=service.run, args=(stop, heard.append))
    thread.start()
    try:
        assert eventually(lambda: bool(heard))
        headers = {"Authorization": f"Bearer {TOKENS['ward']}"}
        assert httpx.post(f"http://{HOST}:{heard[0].http}/jobs", content=b"x", headers=headers).status_code == 401
    finally:
        stop.set()
        thread.join(60)


def test_no_metric_no_log_line_and_no_answer_tells_whose_image_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = draw(tmp_path / "sent", 2)
    with caplog.at_level(logging.DEBUG), served(tmp_path) as (_, client):
        views = [bring(client, path) for path in paths]
        body, headers = multipart(paths[0].read_bytes()[:-200])
        client.post("/studies", content=body, headers=headers)
        told = [client.get("/metrics").text, str(views), client.get(f"/jobs/{views[0]['id']}").text]
    told += [record.getMessage() for record in caplog.records]
    assert len(told) > 4 and not [(line, secret) for line in told for secret in SECRETS if secret in line]


def test_where_there_is_no_room_it_is_not_ready_and_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = draw(tmp_path / "sent", 1)
    body, headers = multipart(path.read_bytes())
    with served(tmp_path) as (service, client):
        assert client.get("/ready").status_code == 200
        monkeypatch.setattr(service.service.spool, "_keep_free", 2**60)
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 507
        answer = client.post("/jobs", content=path.read_bytes())
        assert answer.status_code == 507 and answer.headers["retry-after"] == "60"
        assert client.post("/studies", content=body, headers=headers).status_code == 507
        assert not any(service.service.spool.counts().values())
        assert list(service.service.spool.incoming.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EIO, 500)])
def test_a_disk_that_fills_up_in_the_middle_is_told_from_one_that_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, "as the disk says")

    (path,) = draw(tmp_path / "sent", 1)
    with served(tmp_path) as (service, client):
        monkeypatch.setattr("components.serving.spool._link_or_copy", fails)
        assert client.post("/jobs", content=path.read_bytes()).status_code == status
        monkeypatch.undo()
        assert list(service.service.spool.incoming.iterdir()) == []
        with calling(service) as again:
            assert bring(again, path)["state"] == "ready"


def test_who_hangs_up_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as (service, client):
        with socket.create_connection((HOST, service.web)) as half:
            token = f"Authorization: Bearer {TOKENS['ward']}"
            half.sendall(
                f"POST /jobs HTTP/1.1\r\nHost: x\r\n{token}\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 500
            )
            assert eventually(lambda: bool(list(service.service.spool.incoming.iterdir())))
        assert eventually(lambda: not list(service.service.spool.incoming.iterdir()))
        assert client.get("/health").status_code == 200


def test_a_certificate_makes_it_https_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-addext", f"subjectAltName=IP:{HOST}", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    known = settings(1)
    http = replace(HTTP, certificate=str(certificate), key=str(key))
    with running(tmp_path, 1, known=replace(known, http=http)) as service:
        trusted = ssl.create_default_context(cafile=str(certificate))
        assert httpx.get(f"https://{HOST}:{service.web}/health", verify=trusted).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{HOST}:{service.web}/health")
    shutil.copy(key, certificate)
    with pytest.raises(StepError, match="cannot be listened at"), running(tmp_path, 1, known=replace(known, http=http)):
        pass


def test_an_error_of_ours_tells_nothing_has_every_header_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise LookupError("Doe^Jane")

    with served(tmp_path) as (_, client):
        monkeypatch.setattr(Desk, "find", fails)
        answer = client.get(f"/jobs/{'0' * 32}")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        counted = 'medsr_http_requests_total{method="GET",route="/jobs/{key}",status="500"} 1.0'
        assert counted in client.get("/metrics").text
