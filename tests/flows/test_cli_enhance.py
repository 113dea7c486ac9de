from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import dcmread

from components.adapters import registry
from components.handover import Layout
from flows.cli import main
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.test_archive import layout
from tests.orthanc import dicomweb, orthanc, pacs, service_port

pytestmark = pytest.mark.service

__all__ = ["dicomweb", "layout", "orthanc", "pacs", "service_port"]  # fixtures


def medsr(layout: Layout, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """Exit code, output and what was said beside it."""
    monkeypatch.chdir(layout.root)
    done = CliRunner().invoke(main, ["enhance", *words])
    return done.exit_code, done.stdout, done.stderr


def test_a_folder_ends_well_once_every_image_is_made(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said, _ = medsr(layout, monkeypatch, "in", "out")
    assert code == 0 and said.splitlines()[-1] == "out: 12 enhanced, 0 failed, 0 done before"
    assert "0/0.dcm: enhanced" in said and len(list((layout.root / "out").rglob("*.dcm"))) == 12
    (layout.root / "in" / "notes.txt").write_text("no image")
    code, said, beside = medsr(layout, monkeypatch, "in", "out", "--json")
    assert code == 1 and "notes.txt: " in beside
    told = json.loads(said)
    assert (told["made"], list(told["failed"]), told["before"]) == ([], ["notes.txt"], 12)


def test_a_name_that_is_not_utf_8_is_told_as_far_as_it_can_be(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for old, new in (("0/0.dcm", b"M\xfcller.dcm"), ("0/2.dcm", b"M\xf6ller.dcm")):
        (layout.root / "in" / old).rename(layout.root / "in" / "0" / os.fsdecode(new))
    (layout.root / "in" / "0" / os.fsdecode(b"M\xf6ller.dcm")).write_bytes(b"no image")
    code, said, beside = medsr(layout, monkeypatch, "in", "out")
    assert code == 1 and "M�ller.dcm: enhanced" in said and "M�ller.dcm: " in beside


def test_one_image_goes_to_one_file(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said, _ = medsr(layout, monkeypatch, "in/0/0.dcm", "one.dcm")
    assert code == 0 and said.startswith("one.dcm: 1 × ")
    assert dcmread(layout.root / "one.dcm").Rows == 40 * registry.load_generator(layout).scale


def test_a_full_disk_is_said_and_what_is_done_stays(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows import enhancement

    real, done = enhancement.enhance_file, []

    def fills(*arguments: object, **named: object) -> object:
        if len(done) == 3:
            raise OSError(28, "No space left on device")
        done.append(1)
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(enhancement, "enhance_file", fills)
    code, _, said = medsr(layout, monkeypatch, "in", "out")
    assert code == 1 and "No space left on device. What is done stays; the same command goes on." in said
    monkeypatch.setattr(enhancement, "enhance_file", real)
    code, heard, _ = medsr(layout, monkeypatch, "in", "out")
    assert code == 0 and heard.splitlines()[-1] == "out: 9 enhanced, 0 failed, 3 done before"


def test_what_does_not_fit_is_wrong_use(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom(layout.root / "one.dcm", dicom((shapes(40, 40) * 255).astype(np.uint8)))
    for words in (
        ("one.dcm", "out.dcm", "--workers", "2"),
        ("in", "out", "--overwrite"),
        ("nowhere", "out"),
        ("in", "out", "--where", "PatientID=1"),
        ("in", "out", "--store"),
        ("https://pacs/dicom-web", "out", "--where", "PatientID"),
        ("https://pacs/dicom-web", "out", "--where", "PatientID=1", "--where", "PatientID=2"),
    ):
        assert medsr(layout, monkeypatch, *words)[0] == 2, words


def test_an_archive_is_asked_by_its_address(layout: Layout, monkeypatch: pytest.MonkeyPatch, dicomweb: str) -> None:
    code, said, beside = medsr(layout, monkeypatch, dicomweb, "out", "--where", "Modality=CT", "--store")
    assert (code, beside) == (0, "") and said.splitlines()[-1] == "out: 1 enhanced, 0 failed, 0 done before"
    code, said, _ = medsr(layout, monkeypatch, dicomweb, "out", "--where", "Modality=CT", "--json")
    assert code == 0 and json.loads(said) == {"made": [], "failed": {}, "before": 1, "arriving": 0, "others": 1}
    code, _, beside = medsr(layout, monkeypatch, dicomweb, "out")
    assert code == 1 and "expected something to search for" in beside
    code, _, beside = medsr(layout, monkeypatch, "http://127.0.0.1:9/dicom-web", "out", "--where", "Modality=CT")
    assert code == 1 and "is away: ConnectionError. What is done stays; the same command goes on." in beside
