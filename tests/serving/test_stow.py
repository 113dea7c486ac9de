from __future__ import annotations

import errno
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation

from components.serving import spool
from components.serving.spool import SENT
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import eventually
from tests.serving.nodes import archive
from tests.serving.test_service import derived_from, draw
from tests.serving.web import multipart, served

pytestmark = pytest.mark.service

REFERENCED, FAILED, OTHERS, REASON, INSTANCE = "00081199", "00081198", "0008119A", "00081197", "00081155"


def test_what_is_stored_goes_where_the_settings_say_and_is_named_in_the_answer(tmp_path: Path) -> None:
    paths = draw(tmp_path / "sent", 3)
    body, headers = multipart(*(path.read_bytes() for path in paths))
    with archive() as there, served(tmp_path, there.port) as (service, client):
        answer = client.post("/studies", content=body, headers=headers)
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/dicom+json"
        named = [item[INSTANCE]["Value"][0] for item in answer.json()[REFERENCED]["Value"]]
        assert eventually(lambda: service.service.spool.counts()[SENT] == 3)
    assert named == [dcmread(path).SOPInstanceUID for path in paths]
    assert sorted(derived_from(there)) == sorted(named)


def reasons(answer: httpx.Response, sequence: str) -> list[int]:
    return [item[REASON]["Value"][0] for item in answer.json()[sequence]["Value"]]


CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SOPInstanceUID", None),
        ("SOPInstanceUID", ""),
        ("SOPInstanceUID", ["1.2.3", "1.2.4"]),
        ("SOPInstanceUID", "../../etc"),
        ("SOPClassUID", None),
        ("SOPClassUID", [CT, "1.2.3"]),
        ("StudyInstanceUID", [CT, "1.2.3"]),
    ],
)
def test_what_does_not_say_what_it_is_is_no_hindrance_to_the_others(
    tmp_path: Path, keyword: str, value: object
) -> None:
    first, last = (path.read_bytes() for path in draw(tmp_path / "sent", 2))
    image = dcmread(tmp_path / "sent/0.dcm")
    delattr(image, keyword)
    if value is not None:
        with disable_value_validation():
            setattr(image, keyword, value)
    image.save_as(tmp_path / "odd.dcm")
    body, headers = multipart(first, (tmp_path / "odd.dcm").read_bytes(), last)
    with served(tmp_path) as (service, client):
        answer = client.post("/studies", content=body, headers=headers)
        assert answer.status_code == 202 and FAILED not in answer.json()
        assert reasons(answer, OTHERS) == [0xC000] and len(answer.json()[REFERENCED]["Value"]) == 2
        assert sum(service.service.spool.counts().values()) == 2
        assert list(service.service.spool.incoming.iterdir()) == []


def test_of_one_study_nothing_else_is_taken(tmp_path: Path) -> None:
    paths = draw(tmp_path / "sent", 2)
    mine, other = (dcmread(path) for path in paths)
    body, headers = multipart(*(path.read_bytes() for path in paths))
    with served(tmp_path) as (service, client):
        answer = client.post(f"/studies/{mine.StudyInstanceUID}", content=body, headers=headers)
        assert answer.status_code == 202 and reasons(answer, FAILED) == [0xC409]
        assert answer.json()[FAILED]["Value"][0][INSTANCE]["Value"] == [other.SOPInstanceUID]
        assert answer.json()[REFERENCED]["Value"][0][INSTANCE]["Value"] == [mine.SOPInstanceUID]
        assert client.post("/studies/1.2.3", content=body, headers=headers).status_code == 409
        assert client.post("/studies/mine", content=body, headers=headers).status_code == 422
        assert sum(service.service.spool.counts().values()) == 1


def test_an_image_that_the_disk_does_not_take_is_no_hindrance_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = draw(tmp_path / "sent", 2)
    body, headers = multipart(*(path.read_bytes() for path in paths))
    with served(tmp_path) as (service, client):
        copies, fails = spool._link_or_copy, [OSError(errno.EIO, "as the disk says")]
        monkeypatch.setattr(spool, "_link_or_copy", lambda *which: _raise(fails) if fails else copies(*which))
        answer = client.post("/studies", content=body, headers=headers)
        assert answer.status_code == 202 and reasons(answer, FAILED) == [0xA700]
        assert sum(service.service.spool.counts().values()) == 1


def _raise(errors: list[OSError]) -> None:
    raise errors.pop()


def test_each_image_has_its_own_answer(tmp_path: Path) -> None:
    (good,) = draw(tmp_path / "sent", 1)
    report = dicom((shapes(20, 20) * 255).astype(np.uint8))
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    other = write_dicom(tmp_path / "report.dcm", report)
    with served(tmp_path) as (_, client):
        body, headers = multipart(good.read_bytes(), other.read_bytes(), b"no DICOM at all")
        answer = client.post("/studies", content=body, headers=headers)
        assert answer.status_code == 202
        assert len(answer.json()[REFERENCED]["Value"]) == 1
        assert reasons(answer, FAILED) == [0x0122] and reasons(answer, OTHERS) == [0xC000]
        body, headers = multipart(b"no DICOM at all")
        assert client.post("/studies", content=body, headers=headers).status_code == 409


@pytest.mark.parametrize("cut", [0.2, 0.8, 0.999])
def test_what_arrived_whole_before_a_break_is_taken_and_the_rest_is_not(tmp_path: Path, cut: float) -> None:
    body, headers = multipart(*(path.read_bytes() for path in draw(tmp_path / "sent", 3)))
    with served(tmp_path) as (service, client):
        answer = client.post("/studies", content=body[: int(cut * len(body))], headers=headers)
        assert answer.status_code == 400 and "closing boundary" in answer.json()["detail"]
        assert list(service.service.spool.incoming.iterdir()) == []
        assert sum(service.service.spool.counts().values()) == int(3 * cut)


def test_what_is_no_multipart_of_dicom_is_refused(tmp_path: Path) -> None:
    (path,) = draw(tmp_path / "sent", 1)
    with served(tmp_path) as (service, client):
        for kind in ("application/dicom", "multipart/related", 'multipart/related; type="image/jpeg"; boundary=x'):
            answer = client.post("/studies", content=path.read_bytes(), headers={"Content-Type": kind})
            assert answer.status_code == 415, kind
        body, headers = multipart(path.read_bytes(), kind="image/jpeg")
        assert client.post("/studies", content=body, headers=headers).status_code == 409
        many, headers = multipart(*[path.read_bytes()] * 101)
        assert client.post("/studies", content=many, headers=headers).status_code == 413
        assert list(service.service.spool.incoming.iterdir()) == []
