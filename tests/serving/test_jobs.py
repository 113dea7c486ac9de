from __future__ import annotations

import io
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from components.serving import workshop
from components.serving.spool import KEPT
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import eventually
from tests.serving.nodes import HOST, LIMITS, TOKENS
from tests.serving.test_service import draw
from tests.serving.web import bring, calling, ended, served

pytestmark = pytest.mark.service


def test_an_image_that_is_brought_is_fetched_sharpened_and_names_its_version(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "sent", 1)
    with served(tmp_path) as (_, client):
        view = bring(client, path)
        assert (view["state"], view["model"], view["version"], view["frames"]) == ("ready", "sr-generator", "3", 1)
        assert (view["rows"], view["columns"]) == (80, 96)
        answer = client.get(f"/jobs/{view['id']}/image")
    assert answer.headers["content-type"] == "application/dicom"
    made, source = dcmread(io.BytesIO(answer.content)), dcmread(path)
    assert (made.Rows, made.Columns) == (2 * source.Rows, 2 * source.Columns)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert "3" in made.ContributingEquipmentSequence[0].SoftwareVersions


@pytest.mark.parametrize(("kind", "name"), [("PNG", "image/png"), ("TIFF", "image/tiff")])
def test_a_picture_of_16_bits_comes_back_as_one(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / "picture"
    Image.fromarray((shapes(31, 45) * 65535).astype(np.uint16)).save(path, format=kind)
    with served(tmp_path) as (_, client):
        view = ended(client, client.post("/jobs", content=path.read_bytes()).json()["id"])
        answer = client.get(f"/jobs/{view['id']}/image")
    assert answer.headers["content-type"] == name
    with Image.open(io.BytesIO(answer.content)) as made:
        assert made.size == (90, 62) and made.mode.startswith("I;16")


def test_the_same_image_again_is_the_same_job_and_somebody_elses_is_not(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "sent", 1)
    with served(tmp_path) as (service, client), calling(service, "lab") as other:
        mine, again, theirs = bring(client, path), bring(client, path), bring(other, path)
        assert mine["id"] == again["id"] != theirs["id"]
        for asked in (f"/jobs/{mine['id']}", f"/jobs/{mine['id']}/image", f"/jobs/{mine['id']}/picture"):
            assert other.get(asked).status_code == 404
        assert other.delete(f"/jobs/{mine['id']}").status_code == 404
        assert client.get(f"/jobs/{mine['id']}").status_code == 200


def test_how_far_a_film_is_can_be_heard_while_it_is_made(tmp_path: Path) -> None:
    film = np.stack([(shapes(256, 256, seed=number) * 255).astype(np.uint8) for number in range(60)])
    path = write_dicom(tmp_path / "film.dcm", dicom(film, "US"))
    heard = []
    with served(tmp_path) as (_, client):
        view = client.post("/jobs", content=path.read_bytes()).json()
        while view["state"] not in ("ready", "failed"):
            view = client.get(f"/jobs/{view['id']}").json()
            heard.append(view["frames_done"])
        assert view["state"] == "ready" and view["frames"] == 60
        done = [count for count in heard if count]
        assert done and done == sorted(done) and done[-1] <= 60
        last = client.get(f"/jobs/{view['id']}/picture", params={"frame": 60})
        assert last.status_code == 200
        assert client.get(f"/jobs/{view['id']}/picture", params={"frame": 61}).status_code == 404


def test_who_waits_hears_of_the_end_when_it_comes(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "sent", 1)
    with served(tmp_path) as (_, client):
        key = client.post("/jobs", content=path.read_bytes()).json()["id"]
        assert client.get(f"/jobs/{key}", params={"wait": 60}).json()["state"] == "ready"
        assert client.get(f"/jobs/{key}", params={"wait": 61}).status_code == 422
        assert client.get(f"/jobs/{'0' * 32}", params={"wait": 60}).status_code == 404


def test_before_and_after_are_shown_under_one_window(tmp_path: Path) -> None:
    stored = (shapes(64, 48) * 3000).astype(np.uint16)
    path = write_dicom(
        tmp_path / "one.dcm", dicom(stored, WindowCenter=-24, WindowWidth=2000)
    )  # of HU: 0 to 2000 stored
    with served(tmp_path) as (_, client):
        key = bring(client, path)["id"]
        before, after = (
            np.asarray(Image.open(io.BytesIO(client.get(f"/jobs/{key}/picture", params={"sharpened": sharp}).content)))
            for sharp in (False, True)
        )
    assert before.shape == (64, 48) and after.shape == (128, 96)
    assert np.abs(before - np.clip(stored * (255 / 2000), 0, 255)).max() < 1
    assert np.abs(after[::2, ::2].mean() - before.mean()) < 3


def test_what_failed_says_why_without_our_folders(tmp_path: Path) -> None:
    image = dicom((shapes(40, 40) * 255).astype(np.uint8))
    image.PixelData = image.PixelData[:100]
    with served(tmp_path) as (_, client):
        view = bring(client, write_dicom(tmp_path / "cut.dcm", image))
        assert view["state"] == "failed" and "image.dcm: " in view["reason"] and str(tmp_path) not in view["reason"]
        assert client.get(f"/jobs/{view['id']}/image").status_code == 409
        assert client.delete(f"/jobs/{view['id']}").status_code == 204


def test_an_image_that_is_removed_is_gone(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "sent", 1)
    with served(tmp_path) as (service, client):
        key = bring(client, path)["id"]
        assert service.service.spool.counts()[KEPT] == 1
        assert client.delete(f"/jobs/{key}").status_code == 204
        assert client.get(f"/jobs/{key}").status_code == 404
        assert not list((tmp_path / "spool").rglob("*.dcm"))


def test_one_that_waits_can_be_removed_and_one_at_work_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, goes_on = workshop.enhance_file, threading.Event()

    def slow(*arguments: Any, **more: Any) -> Any:
        assert goes_on.wait(60)
        return made(*arguments, **more)

    monkeypatch.setattr(workshop, "enhance_file", slow)
    with served(tmp_path) as (service, client):
        keys = [client.post("/jobs", content=path.read_bytes()).json()["id"] for path in draw(tmp_path / "sent", 3)]

        def states() -> list[str]:
            return [client.get(f"/jobs/{key}").json().get("state", "gone") for key in keys]

        try:
            assert eventually(lambda: states() == ["working", "working", "waiting"])
            assert [client.delete(f"/jobs/{key}").status_code for key in keys] == [409, 409, 204]
            assert states() == ["working", "working", "gone"]
        finally:
            goes_on.set()
        assert [ended(client, key)["state"] for key in keys[:2]] == ["ready", "ready"]
        assert sum(service.service.spool.counts().values()) == 2


def test_what_is_no_image_is_refused_at_once_and_nothing_of_it_stays(tmp_path: Path) -> None:
    with served(tmp_path) as (service, client):
        assert client.post("/jobs", content=b"%PDF-1.7 and so on").status_code == 415
        assert client.post("/jobs", content=b"").status_code == 400
        assert list(service.service.spool.incoming.iterdir()) == []
        assert not any(service.service.spool.counts().values())


def test_what_is_too_large_is_refused_whether_it_says_so_or_not(tmp_path: Path) -> None:
    most = int(LIMITS.file_mib * 2**20)

    def pieces(count: int) -> object:
        yield from (b"\0" * 2**20 for _ in range(count))

    with served(tmp_path) as (service, client):
        with socket.create_connection((HOST, service.web)) as caller:
            token = f"Authorization: Bearer {TOKENS['ward']}"
            caller.sendall(f"POST /jobs HTTP/1.1\r\nHost: x\r\n{token}\r\nContent-Length: {most + 1}\r\n\r\n".encode())
            assert b" 413 " in caller.recv(100), "before a byte of it came"
        with suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):  # it may hang up
            assert client.post("/jobs", content=pieces(int(LIMITS.file_mib) + 2)).status_code == 413
        assert client.get("/health").status_code == 200
        assert list(service.service.spool.incoming.iterdir()) == []


def test_a_number_that_no_job_has_is_no_way_to_a_file(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client):
        assert client.get(f"/jobs/{'0' * 32}").status_code == 404
        for path in ("%2e%2e%2f%2e%2e", "a" * 31, "a" * 33, "A" * 32, f"{'a' * 32}%00"):
            assert client.get(f"/jobs/{path}").status_code in (404, 422)
