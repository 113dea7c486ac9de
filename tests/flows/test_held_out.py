"""A folder of DICOM scored without a training: what comes in, what stays out, and the table at the end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from components.handover import Layout, PreparedRow, SplitRow, StepError, read_rows, write_rows
from components.learning.datasets.pairs import load_pairs
from flows import held_out
from flows.cli import main
from tests.drawing import dicom, shapes, write_dicom
from tests.origins import with_names
from tests.settings import content, small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three patients to score, one image twice, one too small, one cut short."""
    folder = tmp_path / "archive"
    for number, modality in enumerate(("CT", "MR", "CR")):
        stored = (shapes(132, 120 + 8 * number, seed=number) * 4000).astype(np.uint16)
        write_dicom(folder / f"{number}.dcm", dicom(stored, modality, PatientID=f"MRN-{number}"))
    shutil.copy(folder / "1.dcm", folder / "twice.dcm")
    write_dicom(folder / "small.dcm", dicom((shapes(40, 40, seed=9) * 4000).astype(np.uint16), "CT", PatientID="MRN-9"))
    whole = (folder / "2.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    return folder


def test_every_image_is_ready_to_be_scored_or_named_with_its_reason(tmp_path: Path, folder: Path) -> None:
    with held_out.from_dicom(Layout(tmp_path), small(), folder) as (prepared, left_out):
        rows = read_rows(prepared / "index.csv", PreparedRow)
        assert {(row.modality, row.split) for row in rows} == {("CT", "test"), ("MR", "test"), ("CR", "test")}
        assert held_out.is_prepared(prepared) and not held_out.is_prepared(folder)
        assert len(load_pairs(prepared, "test", 4)) == 3
    assert not prepared.exists()
    reasons = dict(with_names(Layout(tmp_path), line).split(": ", 1) for line in left_out)
    assert set(reasons) in ({"1.dcm", "small.dcm", "cut.dcm"}, {"twice.dcm", "small.dcm", "cut.dcm"})
    assert "below split.min_side" in reasons["small.dcm"] and "less than expected" in reasons["cut.dcm"]


@pytest.mark.parametrize(("side", "images"), [("train", 2), ("validation", 2), ("test", 3)])
def test_a_patient_the_project_learned_from_is_left_out_by_name(
    tmp_path: Path, folder: Path, side: str, images: int
) -> None:
    """By the project's own pseudonym, which every image of one person gets."""
    layout = Layout(tmp_path)
    layout.data.mkdir()
    (layout.data / ".salt").write_text("0" * 64)
    with held_out.from_dicom(layout, small(), folder) as (prepared, _):
        rows = read_rows(prepared / "index.csv", PreparedRow)
    patient = next(row.patient_id for row in rows if row.modality == "CT")
    learned = SplitRow(
        image_id="f" * 16,
        patient_id=patient,
        task="super_resolution",
        modality="CT",
        label="",
        split=side,
        reason="",
    )
    write_rows(layout.splits, SplitRow, [learned])
    with held_out.from_dicom(layout, small(), folder) as (prepared, left_out):
        assert len(load_pairs(prepared, "test", 4)) == images
    told = [line for line in left_out if with_names(layout, line).startswith("0.dcm")]
    reasons = [line.partition(": ")[2] for line in told]
    assert reasons == ([f"its patient is on the {side} side of {layout.splits}"] if side != "test" else [])


def test_a_folder_with_nothing_to_score_says_why(tmp_path: Path, folder: Path) -> None:
    for name in ("0", "1", "2", "twice", "cut"):
        (folder / f"{name}.dcm").unlink()
    with (
        pytest.raises(StepError, match=r"expected an image to score, found none\.\n  F[0-9a-f]{12}: 40 x 40"),
        held_out.from_dicom(Layout(tmp_path), small(), folder),
    ):
        pass


def test_one_command_scores_a_model_on_a_folder_of_dicom(
    project: Layout, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    Path("params.yaml").write_text(yaml.safe_dump(content()))
    asked = ["evaluate", "--model", "data/models/rrdb", "--data", str(folder), "--write-inputs", "inputs"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "left out: small.dcm: 40 x 40 pixels" in with_names(project, done.stderr)
    assert "rrdb against bicubic: better for" in done.output and "of 3 patients" in done.output
    assert len(list(Path("inputs").glob("*.png"))) == 3
    done = CliRunner().invoke(main, ["evaluate", "--model", "data/models/rrdb", "--data", str(folder), "--json"])
    table = {line["method"]: line for line in json.loads(done.stdout)}
    assert set(table) == {"bicubic", "rrdb"} and table["rrdb"]["n"] == 3
