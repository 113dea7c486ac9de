from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from components.handover import StepError
from components.sources.file_register import FileRegister, Origin


def origin(name: str, key: str, image_id: str = "", source: str = "dicom:archive") -> Origin:
    return Origin(key=key, image_id=image_id, source=source, name=name, path=f"/archive/{name}")


def test_a_file_is_found_by_its_key_and_by_its_image(tmp_path: Path) -> None:
    register = FileRegister(tmp_path / "data" / "files.sqlite")
    odd = origin(os.fsdecode(b"M\xfcller.dcm"), "F0", "a" * 16)
    twin = origin("twin.dcm", "F1", "a" * 16)
    register.record([odd, twin, origin("broken.dcm", "F2")])
    assert register.find("F0") == [odd]
    assert register.find("a" * 16) == [odd, twin]
    assert register.find("F3") == []
    assert stat.S_IMODE((tmp_path / "data" / "files.sqlite").stat().st_mode) == 0o600


def test_a_file_that_changed_leads_to_what_it_is_now(tmp_path: Path) -> None:
    register = FileRegister(tmp_path / "files.sqlite")
    register.record([origin("a.dcm", "F0", "a" * 16)])
    register.record([origin("a.dcm", "F0", "b" * 16)])
    assert register.find("a" * 16) == []
    assert [found.image_id for found in register.all()] == ["b" * 16]


def test_nothing_is_asked_of_a_register_that_is_not_there_and_nothing_is_made(tmp_path: Path) -> None:
    register = FileRegister(tmp_path / "files.sqlite")
    assert register.find("F0") == register.all() == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_register_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "files.sqlite").write_text("key,image_id,source\n" * 100)
    with pytest.raises(StepError, match=r"files\.sqlite: expected the register of files, found .* Remove it"):
        FileRegister(tmp_path / "files.sqlite").find("F0")
