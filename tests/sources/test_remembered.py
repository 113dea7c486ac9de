"""A second ingest decodes what is new or changed, and gives what a first one would have given."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components import ingest
from components.handover import IndexRow, Layout, StepError, sha256_of
from components.params import Params
from components.sources import remembered
from components.sources.intake import take
from tests.drawing import dicom, shapes, write_dicom
from tests.origins import name_of
from tests.settings import small


def stored(seed: int) -> np.ndarray:
    return (shapes(37, 41, seed) * 2000).astype(np.uint16)


@pytest.fixture(autouse=True)
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSR_SALT", "a salt for tests")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the items that were taken anew since the list was cleared."""
    keys: list[str] = []

    def counted(item: Any, *others: Any) -> Any:
        keys.append(item.name)
        return take(item, *others)

    monkeypatch.setattr(remembered, "take", counted)
    return keys


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An archive of four images, of which one lies there twice, and a file that is none."""
    for number in range(4):
        write_dicom(tmp_path / "in" / f"{number}.dcm", dicom(stored(number), "MR", PatientID=f"MRN-{number}"))
    shutil.copy(tmp_path / "in" / "1.dcm", tmp_path / "in" / "twin.dcm")
    (tmp_path / "in" / "letter.txt").write_text("no image")
    return Layout(tmp_path)


def settings(layout: Layout, **ingest_settings: Any) -> Params:
    params = small()
    sources = {"super_resolution": (f"dicom:{layout.root / 'in'}",), "classification": (), "max_bad_share": 0.5}
    return replace(params, ingest=replace(params.ingest, **{**sources, **ingest_settings}))


def run(layout: Layout, taken: list[str], **ingest_settings: Any) -> tuple[list[IndexRow], set[str]]:
    """The rows of an ingest, and the names of the files that it decoded."""
    taken.clear()
    rows = ingest.run(layout, settings(layout, **ingest_settings))
    return rows, {name_of(layout, key) for key in taken}


def contents(layout: Layout) -> dict[str, bytes]:
    return {path.relative_to(layout.raw).as_posix(): path.read_bytes() for path in layout.raw.rglob("*.*")}


def from_nothing(layout: Layout, root: Path, **ingest_settings: Any) -> dict[str, bytes]:
    """What an ingest of the same archive gives where none ran before."""
    fresh = Layout(root)
    ingest.run(fresh, settings(layout, **ingest_settings))
    return contents(fresh)


def test_nothing_is_decoded_twice_and_the_result_is_the_same(layout: Layout, taken: list[str], tmp_path: Path) -> None:
    rows, names = run(layout, taken)
    assert len(names) == len(rows) == 6
    before = contents(layout)
    assert run(layout, taken) == (rows, set()) and contents(layout) == before
    write_dicom(layout.root / "in" / "new.dcm", dicom(stored(9), "MR", PatientID="MRN-9"))
    write_dicom(layout.root / "in" / "0.dcm", dicom(stored(8), "MR", PatientID="MRN-0"))
    (layout.root / "in" / "2.dcm").unlink()
    _, names = run(layout, taken)
    assert names == {"new.dcm", "0.dcm"}
    assert contents(layout) == from_nothing(layout, tmp_path / "fresh")


def test_a_duplicate_takes_the_place_of_the_image_that_left(layout: Layout, taken: list[str], tmp_path: Path) -> None:
    rows, _ = run(layout, taken)
    (twin,) = [row for row in rows if row.quarantined and row.reason.startswith("duplicate")]
    kept = next(row for row in rows if row.image_id == twin.image_id and not row.quarantined)
    left = name_of(layout, kept.file_name)
    (layout.root / "in" / left).unlink()
    rows, names = run(layout, taken)
    assert names == {"1.dcm", "twin.dcm"} - {left}
    assert [row.quarantined for row in rows if row.image_id == twin.image_id] == [False]
    assert contents(layout) == from_nothing(layout, tmp_path / "fresh")


def test_a_run_that_fails_leaves_the_images_of_the_last_one_as_they_were(layout: Layout, taken: list[str]) -> None:
    """Also those that the failed run gave another UID, because a new image has the same one."""
    first = layout.root / "in" / "0.dcm"
    write_dicom(layout.root / "in" / "same_uid.dcm", dicom(stored(7), "MR", SOPInstanceUID="1.2.3"))
    run(layout, taken)
    before = contents(layout)
    write_dicom(first, dicom(stored(0), "MR", SOPInstanceUID="1.2.3"))
    (layout.root / "empty").mkdir()
    with pytest.raises(StepError, match="expected images, found no file"):
        run(layout, taken, classification=(f"pictures:{layout.root / 'empty'}",))
    assert contents(layout) == before
    rows, _ = run(layout, taken)
    assert sum("another image of other pixels" in row.reason for row in rows) == 2


def spoil_the_image(layout: Layout) -> None:
    path = next(iter(sorted((layout.raw / "images").iterdir())))
    path.write_bytes(path.read_bytes()[:-2] + b"xx")


def touch_the_image(layout: Layout) -> None:
    os.utime(next(iter(sorted((layout.raw / "images").iterdir()))), (1, 1))


@pytest.mark.parametrize(("change", "decoded"), [(spoil_the_image, 1), (touch_the_image, 0)])
def test_a_stored_image_is_taken_over_only_as_it_was_written(
    layout: Layout, taken: list[str], change: Callable[[Layout], None], decoded: int
) -> None:
    run(layout, taken)
    before = contents(layout)
    change(layout)
    _, names = run(layout, taken)
    assert len(names) == decoded and contents(layout) == before


def test_another_secret_or_other_rules_decode_everything(
    layout: Layout, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = run(layout, taken)
    monkeypatch.setenv("MEDSR_SALT", "another salt for tests")
    others, names = run(layout, taken)
    assert len(names) == 6 and not {row.patient_id for row in rows} & {row.patient_id for row in others} - {""}
    monkeypatch.setattr(remembered, "rules", lambda: "those of another version")
    assert run(layout, taken) == (others, names)


def test_a_person_who_reviewed_one_file_has_that_one_decoded(layout: Layout, taken: list[str]) -> None:
    rows, _ = run(layout, taken)
    box = f"{sha256_of(layout.root / 'in' / '3.dcm')},0,0,9,9,a face\n"
    (layout.data / "reviewed_regions.csv").write_text(f"sha256,x0,y0,x1,y1,note\n{box}")
    others, names = run(layout, taken)
    assert names == {"3.dcm"} and len({row.sha256 for row in rows} & {row.sha256 for row in others}) == 4


def test_labels_and_patients_beside_the_files_count_though_no_file_changed(layout: Layout, taken: list[str]) -> None:
    folder, table = layout.root / "pictures", layout.root / "pictures" / "list.csv"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(stored(number)).save(folder / f"{number}.png")
    wanted: dict[str, Any] = {"super_resolution": (), "classification": (f"pictures:{table}",)}
    table.write_text("file,label,patient_id\n0.png,ill,P0\n1.png,well,P1\n")
    _, names = run(layout, taken, **wanted)
    assert names == {"0.png", "1.png"}
    table.write_text("file,label,patient_id\n0.png,well,P0\n1.png,well,P1\n")
    second, names = run(layout, taken, **wanted)
    assert (sorted(row.label for row in second), names) == (["well", "well"], set())
    table.write_text("file,label,patient_id\n0.png,well,P0\n1.png,well,P0\n")
    third, _ = run(layout, taken, **wanted)
    assert len({row.patient_id for row in second}) == 2 and len({row.patient_id for row in third}) == 1
