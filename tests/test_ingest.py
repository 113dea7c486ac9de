from __future__ import annotations

import re
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from components import ingest
from components.dicom.read import read_image
from components.handover import IndexRow, Layout, StepError, read_rows
from components.params import Params
from components.sources import pydicom_data
from components.sources.intake import content_hash
from tests.drawing import dicom, shapes, write_dicom
from tests.origins import name_of, with_names
from tests.settings import PARAMS, small

REVIEWED = PARAMS.parent / "data" / "reviewed_regions.csv"


def settings(*super_resolution: str, classification: tuple[str, ...] = (), max_bad_share: float = 0.5) -> Params:
    params = small()
    changed = replace(
        params.ingest,
        super_resolution=super_resolution,
        classification=classification,
        max_bad_share=max_bad_share,
    )
    return replace(params, ingest=changed)


def stored(seed: int = 0) -> np.ndarray:
    return (shapes(37, 41, seed) * 2000).astype(np.uint16)


@pytest.fixture(autouse=True)
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSR_SALT", "a salt for tests")


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, dict[str, IndexRow]]:
    """The default source and a small simulated cohort, taken in once."""
    layout = Layout(tmp_path_factory.mktemp("default"))
    layout.data.mkdir()
    shutil.copy(REVIEWED, layout.data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSR_SALT", "a salt for tests")
        rows = ingest.run(layout, settings("pydicom-data", classification=("simulated",), max_bad_share=0.2))
    return layout, {row.file_name: row for row in rows}


def test_every_file_has_a_row_and_the_table_is_ordered(default: tuple[Layout, dict[str, IndexRow]]) -> None:
    layout, rows = default
    written = read_rows(layout.index, IndexRow)
    assert written == list(rows.values())
    assert len(written) == len(list(pydicom_data.items("", small()))) + 24
    assert [(r.task, r.source, r.file_name) for r in written] == sorted(
        (r.task, r.source, r.file_name) for r in written
    )


def test_the_default_holds_many_patients_of_many_modalities(default: tuple[Layout, dict[str, IndexRow]]) -> None:
    kept = [row for row in default[1].values() if not row.quarantined and row.task == "super_resolution"]
    patients = {row.modality: {r.patient_id for r in kept if r.modality == row.modality} for row in kept}
    assert {name: len(who) for name, who in patients.items()} == {"CR": 2, "CT": 4, "MR": 3, "NM": 1, "OT": 3, "US": 6}


def test_one_image_under_several_encodings_is_one_image(default: tuple[Layout, dict[str, IndexRow]]) -> None:
    rows = default[1]
    for family, kept in {
        "693": "693_J2KR",
        "MR2": "MR2_J2KR",
        "RG1": "RG1_J2KR",
        "RG3": "RG3_J2KR",
        "US1": "US1_J2KR",
        "OBXXXX1A": "OBXXXX1A_2frame",
        "emri": "emri_small",
        "SC_": "SC_rgb_32bit_2frame",
        "JPEG": "JPEG-LL",
        "gdcm": "gdcm-US-ALOKA-16",
        "color-p": "color-pl",
    }.items():
        assert [n for n, r in rows.items() if n.startswith(family) and not r.quarantined] == [f"{kept}.dcm"]
        others = [r for n, r in rows.items() if n.startswith(family) and r.quarantined and "truncated" not in r.reason]
        assert others and all(rows[f"{kept}.dcm"].image_id in row.reason for row in others)


def test_broken_files_non_images_and_faces_are_quarantined_by_name(
    default: tuple[Layout, dict[str, IndexRow]],
) -> None:
    bad = {n: r.reason for n, r in default[1].items() if r.quarantined and not r.reason.startswith("duplicate")}
    assert set(bad) == {
        "OT-PAL-8-face.dcm",
        "emri_small_jpeg_2k_lossless_too_short.dcm",
        "liver.dcm",
        "liver_expb.dcm",
    }
    assert "truncated" in bad["emri_small_jpeg_2k_lossless_too_short.dcm"]
    assert "segmentation" in bad["liver.dcm"]


def test_files_decode_to_what_the_index_says(default: tuple[Layout, dict[str, IndexRow]]) -> None:
    layout, rows = default
    for row in rows.values():
        if row.quarantined:
            assert row.path == "" and row.reason
            continue
        pixels = read_image(layout.raw / row.path)
        assert content_hash(pixels) == row.sha256 and row.sha256.startswith(row.image_id)
        assert pixels.shape[:3] == (row.frames, row.rows, row.columns)
        assert (float(pixels.min()), float(pixels.max())) == (row.minimum, row.maximum)
    kept = {row.path for row in rows.values() if row.path}
    assert {path.relative_to(layout.raw).as_posix() for path in layout.raw.rglob("*.dcm")} == kept


def test_hospital_text_in_the_ultrasound_is_blank(default: tuple[Layout, dict[str, IndexRow]]) -> None:
    layout, rows = default
    pixels = read_image(layout.raw / rows["US1_J2KR.dcm"].path)
    assert pixels[:, :108].max() == pixels[:, 337:].max() == 0
    assert pixels[:, 108:337].max() > 200


def test_simulated_images_are_called_simulated(default: tuple[Layout, dict[str, IndexRow]]) -> None:
    layout, rows = default
    cohort = [row for row in rows.values() if row.source == "simulated"]
    assert all(row.simulated and row.label in ("normal", "heart_failure") for row in cohort)
    assert not [row for row in rows.values() if row.simulated and row.source != "simulated"]
    assert "SIMULATED" in dcmread(layout.raw / cohort[0].path).SeriesDescription


def test_the_same_run_gives_the_same_table(tmp_path: Path) -> None:
    for number in range(3):
        write_dicom(tmp_path / "in" / f"{number}.dcm", dicom(stored(number), "MR"))
    first = ingest.run(Layout(tmp_path / "a"), settings(f"dicom:{tmp_path / 'in'}"))
    assert ingest.run(Layout(tmp_path / "b"), settings(f"dicom:{tmp_path / 'in'}")) == first
    assert sorted(path.name for path in (tmp_path / "a" / "data").iterdir()) == [".files.sqlite", "raw", "sources.json"]


def test_too_much_that_is_bad_stops_the_run_and_names_it(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in" / "good.dcm", dicom(stored(), "MR"))
    (tmp_path / "in" / "empty.dcm").touch()
    (tmp_path / "in" / "text.dcm").write_text("no image")
    source, layout = f"dicom:{tmp_path / 'in'}", Layout(tmp_path)
    with pytest.raises(StepError, match=r"2 of 3") as caught:
        ingest.run(layout, settings(source, max_bad_share=0.6))
    assert re.findall(r"\S+\.(?:dcm|txt)", str(caught.value)) == [], "its keys alone"
    assert "empty.dcm: empty file" in with_names(layout, str(caught.value))
    assert "text.dcm: broken DICOM" in with_names(layout, str(caught.value))
    assert not layout.raw.exists()
    assert len(ingest.run(layout, settings(source, max_bad_share=0.7))) == 3


def test_identity_left_in_a_file_stops_the_run_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.dicom.deidentify.action", lambda tag: None)
    write_dicom(tmp_path / "in" / "a.dcm", dicom(stored(), "MR"))
    with pytest.raises(StepError, match="AccessionNumber is left in AccessionNumber") as caught:
        ingest.run(Layout(tmp_path), settings(f"dicom:{tmp_path / 'in'}"))
    assert "ACC778899" not in str(caught.value)
    assert "`medsr where a.dcm` says which file it is" in with_names(Layout(tmp_path), str(caught.value))
    assert not Layout(tmp_path).raw.exists()


def test_names_of_public_files_stay_and_their_pseudonyms_need_no_secret(
    default: tuple[Layout, dict[str, IndexRow]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, rows = default
    assert name_of(layout, rows["liver.dcm"].image_id) == "liver.dcm"
    monkeypatch.setenv("MEDSR_SALT", "another salt for tests")
    other = Layout(tmp_path)
    ingest.run(other, settings("leaves:1", classification=("simulated",)))
    cohort = {row.image_id: row.patient_id for row in rows.values() if row.source == "simulated"}
    again = {row.image_id: row.patient_id for row in read_rows(other.index, IndexRow) if row.source == "simulated"}
    assert again == cohort
    for path in (other.raw / "images").glob("*.dcm"):
        assert path.read_bytes() == (layout.raw / "images" / path.name).read_bytes()
    assert not (other.data / ".salt").exists()


def test_pictures_are_stored_as_float32_with_their_true_range(tmp_path: Path) -> None:
    (tmp_path / "in" / "ill").mkdir(parents=True)
    Image.fromarray(stored()).save(tmp_path / "in" / "ill" / "a.png")
    layout = Layout(tmp_path)
    source = f"pictures:{tmp_path / 'in'}"
    row, sharpened = ingest.run(layout, settings(source, classification=(source,)))
    pixels = read_image(layout.raw / row.path)
    assert row.path.endswith(".npy") and pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[0], stored())
    assert (row.label, row.bits_stored, row.maximum) == ("ill", 16, float(stored().max()))
    assert row.patient_id.startswith("P") and len(row.patient_id) == 13
    assert sharpened.label == "", "a folder's name is a label where labels are asked for, and nowhere else"


def test_both_tasks_may_use_one_source(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in" / "a.dcm", dicom(stored(), "MR"))
    source = f"dicom:{tmp_path / 'in'}"
    rows = ingest.run(Layout(tmp_path), settings(source, classification=(source,)))
    assert [(row.task, row.quarantined) for row in rows] == [("classification", False), ("super_resolution", False)]


def test_the_salt_is_made_once_kept_to_its_owner_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MEDSR_SALT")
    layout = Layout(tmp_path)
    first = ingest.salt(layout)
    said = capsys.readouterr().out
    assert ".salt" in said and first.decode() not in said
    assert ingest.salt(layout) == first and len(first) >= 32
    assert stat.S_IMODE((layout.data / ".salt").stat().st_mode) == 0o600
    (layout.data / ".salt").write_text("short")
    with pytest.raises(StepError, match="expected a secret"):
        ingest.salt(layout)


def test_the_summary_names_what_was_not_kept(default: tuple[Layout, dict[str, IndexRow]]) -> None:
    text = ingest.summary(list(default[1].values()))
    assert "super_resolution · pydicom-data · CT: 4 images of 4 patients" in text
    assert "quarantined liver.dcm: not an image: a segmentation" in text
    assert "duplicate   RG1_J2KI.dcm" in text


def test_the_command_reports_and_fails_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ingest.main() == 1
    assert "params.yaml" in capsys.readouterr().err
