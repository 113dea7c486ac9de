from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, EncapsulatedPDFStorage

from components.adapters import dicomweb
from components.adapters.dicomweb import INSTANCE, KIND, PAGE, SERIES, STUDY, TOKEN, Remote, find
from components.handover import StepError
from tests.drawing import dicom, shapes, write_dicom
from tests.orthanc import REAL, STORED, Pacs, orthanc, pacs, service_port
from tests.orthanc import dicomweb as orthanc_dicomweb

pytestmark = pytest.mark.service

__all__ = ["orthanc", "orthanc_dicomweb", "pacs", "service_port"]  # fixtures
HOST = "127.0.0.1"
Answer = Callable[[str, dict[str, list[str]]], tuple[int, Any]]


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No client of another test, and nobody's own `.netrc`."""
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    dicomweb._client.cache_clear()
    yield
    dicomweb._client.cache_clear()


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The address of a server that answers so, and the headers of what it was asked."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            heard.append(dict(self.headers))
            status, content = answer(parts.path, parse_qs(parts.query))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}/dicom-web", heard
    finally:
        server.shutdown()
        server.server_close()


def row(**values: str) -> dict[str, Any]:
    tags = {"study": STUDY, "series": SERIES, "instance": INSTANCE, "kind": KIND, "note": dicomweb.DESCRIPTION}
    return {tags[name]: {"vr": "UI", "Value": [value]} for name, value in values.items()}


def archive(instances: list[dict[str, Any]], study: str = "1.2", note: str = "axial", pages: bool = True) -> Answer:
    """One study of one series of these."""

    def answer(path: str, asked: dict[str, list[str]]) -> tuple[int, Any]:
        if path.endswith("/instances"):
            first, limit = (
                int(asked[key][0]) if pages else number for key, number in (("offset", 0), ("limit", 10**6))
            )
            return 200, instances[first : first + limit]
        rows = [row(series="1.2.3", note=note)] if path.endswith("/series") else [row(study=study)]
        return 200, rows if asked.get("offset") == ["0"] else []

    return answer


@pytest.mark.parametrize("pages", [True, False])
def test_every_image_is_found_once_with_pages_and_without(pages: bool) -> None:
    instances = [row(instance=f"1.9.{number}", kind=CTImageStorage) for number in range(2 * PAGE + 7)]
    with serving(archive(instances, pages=pages)) as (url, _):
        found = find(url, {"PatientID": "0815"})
    assert found.images == [Remote(url, "1.2", "1.2.3", f"1.9.{number}") for number in range(2 * PAGE + 7)]
    assert found.skipped == 0


def test_what_is_no_image_or_was_made_by_us_is_counted_and_not_fetched() -> None:
    instances = [row(instance="1.9.1", kind=CTImageStorage), row(instance="1.9.2", kind=EncapsulatedPDFStorage)]
    with serving(archive(instances)) as (url, _):
        found = find(url, {"PatientID": "0815"})
    assert [image.instance for image in found.images] == ["1.9.1"] and found.skipped == 1
    with serving(archive(instances, note="axial x4 enhanced, research use")) as (url, _):
        assert find(url, {"PatientID": "0815"}) == dicomweb.SearchResult([], 2)


def test_each_key_is_asked_at_its_level_and_reaches_the_server_as_it_was_given() -> None:
    asked: dict[str, dict[str, list[str]]] = {}

    def answer(path: str, parameters: dict[str, list[str]]) -> tuple[int, Any]:
        asked.setdefault(path.rpartition("/")[2], parameters)
        return archive([row(instance="1.9.1", kind=CTImageStorage)])(path, parameters)

    with serving(answer) as (url, _):
        find(
            url,
            {"PatientName": "O'Neil&Sons^*", "StudyDate": "20260101-20260131", "Modality": "CT", "InstanceNumber": "1"},
        )
    keys = {
        level: {key: value[0] for key, value in found.items() if key not in ("limit", "offset")}
        for level, found in asked.items()
    }
    assert keys == {
        "studies": {"PatientName": "O'Neil&Sons^*", "StudyDate": "20260101-20260131"},
        "series": {"Modality": "CT"},
        "instances": {"InstanceNumber": "1"},
    }


@pytest.mark.parametrize("study", ["../../etc", "1..2", "", "1.2/3", "."])
def test_a_name_that_would_leave_the_folder_is_refused(study: str) -> None:
    with serving(archive([], study=study)) as (url, _), pytest.raises(StepError, match="expected a UID in 0020000D"):
        find(url, {"PatientID": "0815"})


@pytest.mark.parametrize(
    ("url", "where", "said"),
    [
        ("ftp://pacs", {"PatientID": "1"}, "expected the address of a DICOMweb service"),
        ("http://", {"PatientID": "1"}, "expected the address of a DICOMweb service"),
        ("http://pacs/dicom-web", {"Patientid": "1"}, "Patientid: no key to search by. Known are AccessionNumber"),
        ("http://pacs/dicom-web", {}, "expected something to search for"),
    ],
)
def test_what_cannot_be_asked_is_said_before_it_is(url: str, where: dict[str, str], said: str) -> None:
    with pytest.raises(StepError, match=said):
        find(url, where)


def test_a_token_is_shown_to_the_archive_and_never_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "secret-token")
    with serving(archive([])) as (url, heard):
        find(url, {"PatientID": "0815"})
    assert heard and {one["Authorization"] for one in heard} == {"Bearer secret-token"}
    with pytest.raises(StepError, match="expected https, because everybody on the way could read the token"):
        find("http://pacs/dicom-web", {"PatientID": "0815"})


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_an_archive_that_does_not_answer_a_query_is_said_to_and_how_to_be_let_in(status: int) -> None:
    with serving(lambda *_: (status, [])) as (url, _), pytest.raises(OSError, match=f"{url} answers {status}") as error:
        find(url, {"PatientID": "0815"})
    assert (TOKEN in str(error.value)) == (status in (401, 403))


def test_an_archive_that_is_away_is_no_fault_of_the_image(tmp_path: Path) -> None:
    with serving(archive([])) as (url, _):
        pass
    with pytest.raises(OSError, match="is away: ConnectionError"):
        Remote(url, "1.2", "1.2.3", "1.9.1").fetch(tmp_path / "image.dcm")
    with pytest.raises(OSError, match="is away: ConnectionError"):
        find(url, {"PatientID": "0815"})


@pytest.mark.parametrize(("status", "kind"), [(404, StepError), (500, StepError), (401, OSError), (503, OSError)])
def test_one_image_that_is_not_given_out_is_told_from_an_archive_that_gives_none(
    tmp_path: Path, status: int, kind: type[Exception]
) -> None:
    with serving(lambda *_: (status, [])) as (url, _), pytest.raises(kind, match=str(status)):
        Remote(url, "1.2", "1.2.3", "1.9.1").fetch(tmp_path / "image.dcm")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "said", [{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [272]}}]}}, {}]
)
def test_an_archive_that_answers_well_and_stores_nothing_is_not_believed(tmp_path: Path, said: dict[str, Any]) -> None:
    path = write_dicom(tmp_path / "image.dcm", dicom((shapes(8, 8) * 255).astype(np.uint8)))
    with serving(lambda *_: (202, said)) as (url, _), pytest.raises(StepError, match="does not store it: ") as error:
        Remote(url, "1.2", "1.2.3", "1.9.1").give_back(path)
    assert ("0x110" if said else "it gives no reason") in str(error.value)


def test_a_real_archive_gives_out_what_it_was_given(orthanc_dicomweb: str, tmp_path: Path) -> None:
    found = find(orthanc_dicomweb, {"Modality": "CT"})
    (image,) = found.images
    image.fetch(tmp_path / "image.dcm")
    stored, fetched = dcmread(REAL / STORED["CT"]), dcmread(tmp_path / "image.dcm")
    for group in {element.tag.group for element in stored}:
        stored.pop((group, 0), None)  # retired, and dropped on the way
    assert fetched == stored and fetched.file_meta.TransferSyntaxUID == stored.file_meta.TransferSyntaxUID
    assert find(orthanc_dicomweb, {"PatientID": "nobody"}).images == []
    assert len(find(orthanc_dicomweb, {"PatientID": "*"}).images) == len(STORED)


def test_a_real_archive_takes_what_is_given_back(orthanc_dicomweb: str, pacs: Pacs, tmp_path: Path) -> None:
    (image,) = find(orthanc_dicomweb, {"Modality": "CT"}).images
    image.fetch(tmp_path / "image.dcm")
    second = dcmread(tmp_path / "image.dcm")
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    second.save_as(tmp_path / "second.dcm", enforce_file_format=True)
    image.give_back(tmp_path / "second.dcm")
    assert {one.instance for one in find(orthanc_dicomweb, {"Modality": "CT"}).images} == {
        image.instance,
        second.SOPInstanceUID,
    }
    second.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    second.save_as(tmp_path / "elsewhere.dcm", enforce_file_format=True)
    with pytest.raises(StepError, match=f"{image.instance}: the archive answers 409 Conflict"):
        image.give_back(tmp_path / "elsewhere.dcm")
