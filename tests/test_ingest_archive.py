"""Names of files, which may tell who is in them, and an archive that changes between two runs."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from components import ingest
from components.handover import Layout, StepError, write_json
from components.sources.file_register import FileRegister
from tests.drawing import dicom, write_dicom
from tests.origins import name_of
from tests.test_ingest import salted, settings, stored

__all__ = ["salted"]

NAMES = (
    "Doe_Jane/MRN-0012345.dcm",
    "Doe_Jane/IM2",  # of a header that another tool has cleaned
    "王小東/IM0001.dcm",
    "张三丰/IM0001.dcm",
    "Mu\u0308ller_Jo\u0308rg.dcm",  # with combining marks, as macOS spells it
    "Weiß-Yıldız.dcm",
    "PARKJIWON2.dcm",
    "Ng_Li.dcm",
    "12345678_ct_19610203.dcm",
    "Nachlass/Strauß.dcm",
    os.fsdecode(b"M\xfcller.dcm"),
)


def test_no_part_of_a_file_name_leaves_the_register(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    archive, layout = tmp_path / "in", Layout(tmp_path)
    for number, name in enumerate(NAMES):
        write_dicom(archive / name, dicom(stored(number), "MR", PatientName="", PatientID=f"{number}"))
    (archive / "Nachlass/Strauß.dcm").write_bytes(b"DICM no more")
    rows = ingest.run(layout, settings(f"dicom:{archive}"))
    assert len({row.file_name for row in rows}) == len(NAMES)
    assert all(re.fullmatch("F[0-9a-f]{12}", row.file_name) for row in rows)
    parts = {
        part for name in NAMES for part in re.split(r"[/_.\d\s-]+", name) if part.lower() not in ("", "dcm", "im", "ct")
    }
    written = [layout.index.read_bytes(), *(path.read_bytes() for path in layout.raw.rglob("*.dcm"))]
    shown = "".join(capfd.readouterr()) + ingest.summary(rows)
    assert [part for part in parts if any(os.fsencode(part) in text for text in [*written, os.fsencode(shown)])] == []
    register = FileRegister(layout.files)
    assert {register.find(row.file_name)[0].path for row in rows} == {str(archive / name) for name in NAMES}
    assert stat.S_IMODE(layout.files.stat().st_mode) == 0o600


def test_the_last_good_run_stays_until_the_next_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dicom(tmp_path / "in" / "a.dcm", dicom(stored(), "MR"))
    layout, wanted = Layout(tmp_path), settings(f"dicom:{tmp_path / 'in'}", max_bad_share=0.4)
    ingest.run(layout, wanted)
    before = {path: path.read_bytes() for path in layout.raw.rglob("*") if path.is_file()}
    (tmp_path / "in" / "b.dcm").touch()
    with pytest.raises(StepError, match="1 of 2 files are bad"):
        ingest.run(layout, wanted)
    layout.raw.rename(layout.data / ".raw-replaced")  # killed between the two renames
    with pytest.raises(StepError, match="1 of 2 files are bad"):
        ingest.run(layout, wanted)
    assert {path: path.read_bytes() for path in layout.raw.rglob("*") if path.is_file()} == before
    (tmp_path / "in" / "b.dcm").unlink()
    (tmp_path / "in" / "a.dcm").unlink()
    write_dicom(tmp_path / "in" / "c.dcm", dicom(stored(3), "MR"))
    (row,) = ingest.run(layout, wanted)
    assert [path.name for path in (layout.raw / "images").iterdir()] == [f"{row.image_id}.dcm"], "a.dcm was withdrawn"


def test_models_that_were_trained_on_withdrawn_images_are_named(tmp_path: Path) -> None:
    for number in range(3):
        write_dicom(tmp_path / "in" / f"{number}.dcm", dicom(stored(number), "MR"))
    layout, wanted = Layout(tmp_path), settings(f"dicom:{tmp_path / 'in'}")
    before = ingest.run(layout, wanted)
    ids = {name_of(layout, row.file_name): row.image_id for row in before}
    for folder, trained_on in (
        ("models/srcnn", ["0.dcm", "1.dcm"]),
        ("models/rrdb", ["1.dcm"]),
        ("champion", ["0.dcm"]),
    ):
        write_json(layout.data / folder / "config.json", {"trained_on": [ids[name] for name in trained_on]})
    assert ingest.withdrawn(layout, before, before) == []
    (tmp_path / "in" / "0.dcm").unlink()
    assert ingest.withdrawn(layout, before, ingest.run(layout, wanted)) == [
        f"withdrawn or changed since the last run: {ids['0.dcm']}",
        f"  the model in {layout.data}/models/srcnn was trained on 1 of them",
        f"  the model in {layout.data}/champion was trained on 1 of them: it serves until another version is promoted",
    ]
