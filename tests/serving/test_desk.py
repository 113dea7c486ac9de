from __future__ import annotations

from pathlib import Path

import pytest

from components.serving.desk import Desk, suffix_of
from components.serving.spool import STORED, WAITING, Spool
from tests.serving.nodes import settings


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(settings(1), Spool(tmp_path / "spool"), lambda: None, {"": (1, 2)}.get, lambda _: False)


def image(tmp_path: Path) -> Path:
    (tmp_path / "image").write_bytes(b"image")
    return tmp_path / "image"


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\0" * 128 + b"DICM", ".dcm"),
        (b"II*\0" + b"\0" * 124 + b"DICM", ".dcm"),  # a DICOM file that is a TIFF file too (PS3.10 section 7.1)
        (b"\x89PNG\r\n\x1a\n", ".png"),
        (b"II*\0more", ".tif"),
        (b"MM\0*more", ".tif"),
        (b"GIF89a", None),
        (b"", None),
    ],
)
def test_a_file_is_what_it_begins_with(tmp_path: Path, head: bytes, suffix: str | None) -> None:
    (tmp_path / "file").write_bytes(head)
    assert suffix_of(tmp_path / "file", says_dicom=False) == suffix
    assert suffix_of(tmp_path / "file", says_dicom=True) == (suffix or ".dcm")


def test_an_image_is_found_by_who_brought_it_wherever_it_is(desk: Desk, tmp_path: Path) -> None:
    key = desk.take(image(tmp_path), "", "ward", ".dcm")
    assert desk.find(key, "lab") is None and desk.find("0" * 32, "ward") is None
    for name, state in (("waiting", "waiting"), ("kept", "ready")):
        held = desk.find(key, "ward")
        assert held and (held.state, held.folder) == (state, desk.spool.folder(name, key))
        if state == "waiting":
            assert not desk.drop(held), "somebody may be at work on it"
            desk.spool.made(key, {"version": "3"})
    assert held and desk.details(held) == {"version": "3"} and desk.reason(held) == ""
    assert desk.drop(held) and desk.find(key, "ward") is None


def test_an_image_on_its_way_to_a_destination_tells_how_it_was_made(desk: Desk, tmp_path: Path) -> None:
    key = desk.take(image(tmp_path), "archive", "ward", ".dcm")
    desk.spool.made(key, {"version": "3"})
    for step, state in ((desk.spool.stored, "delivering"), (lambda key: desk.spool.sent(key, STORED), "delivered")):
        step(key)
        held = desk.find(key, "ward")
        assert held and (held.state, desk.details(held)) == (state, {"version": "3"})
        assert not desk.drop(held)


def test_what_came_by_dicom_is_nobodys_over_http(desk: Desk, tmp_path: Path) -> None:
    key, _ = desk.spool.take(image(tmp_path), "archive", "ward")
    assert desk.find(key, "ward") is None and desk.find(key, "") is None


def test_what_failed_says_why(desk: Desk, tmp_path: Path) -> None:
    key = desk.take(image(tmp_path), "", "ward", ".dcm")
    desk.spool.set_aside(key, WAITING, "too dark")
    held = desk.find(key, "ward")
    assert held and (held.state, desk.reason(held), desk.details(held)) == ("failed", "too dark", {})
