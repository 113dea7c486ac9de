"""The whole journey, as a user makes it: `medsr run` on drawn DICOM, killed on the way, run again, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml

from components.adapters import registry
from components.evidence_rows import MethodSummary, SampleScore
from components.handover import (
    METHODS,
    IndexRow,
    Layout,
    SplitRow,
    read_json,
    read_rows,
)
from tests.drawing import dicom, shapes, write_dicom
from tests.settings import content
from tests.test_register import LOW_BAR
from tests.tracing import untraced

PROJECT = Path(__file__).parents[1]
COPIED = ("components", "flows", "data/champion", "data/outside", "data/shared", "data/licences.csv", "dvc.yaml")
COPIED += (".dvc/plots", ".dvcignore", ".gitignore")
MODALITIES = ("CT", "MR", "CR", "DX")


def draw_archive(folder: Path) -> None:
    """Sixteen patients of four modalities, one image twice, one file that is none."""
    for number in range(16):
        modality = MODALITIES[number % 4]
        stored = (shapes(136 + 4 * number, 121, seed=number) * 4000).astype(np.uint16)
        image = dicom(stored, modality, PatientID=f"MRN-{number:05}", PatientName=f"Roe{number}^Richard")
        write_dicom(folder / f"{number}.dcm", image)
    shutil.copy(folder / "3.dcm", folder / "again.dcm")
    whole = (folder / "5.dcm").read_bytes()
    (folder / "broken.dcm").write_bytes(whole[: len(whole) // 2])


def settings() -> dict[str, object]:
    shrunk = content()
    shrunk["ingest"]["super_resolution"] = ["dicom:archive"]
    shrunk["promote"] |= LOW_BAR
    shrunk["quick"]["train"]["rrdb"] |= {"steps": 300, "checkpoint_every": 5}
    return shrunk


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project, as far as a run needs it, with a drawn archive."""
    root = tmp_path_factory.mktemp("journey")
    run(root, "git", "init", "--quiet")
    run(root, sys.executable, "-m", "dvc", "init", "--quiet")
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    draw_archive(root / "archive")
    (root / "data" / "reviewed_regions.csv").write_text("sha256,x0,y0,x1,y1,note\n")
    (root / "params.yaml").write_text(yaml.safe_dump(settings(), sort_keys=False))
    return root


def environment(root: Path) -> Mapping[str, str]:
    own = {key: value for key, value in os.environ.items() if key not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}
    return own | {
        "PREFECT_HOME": str(root / ".prefect"),
        "DVC_SITE_CACHE_DIR": str(root / ".dvc-site"),
        "TORCH_HOME": str(root / ".torch"),
        "PYTHONPATH": str(root),
    }


def run(root: Path, *command: str, expect: int = 0) -> str:
    """What the command printed; its exit code has to be `expect`."""
    done = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def medsr(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "flows.cli", *arguments)


@pytest.fixture(scope="module")
def finished(root: Path) -> str:
    """The output of the run that finished, after one that was killed in the middle of a training."""
    with (root / "killed.log").open("w") as log:
        killed = subprocess.Popen(medsr("run"), cwd=root, env=environment(root), stdout=log, stderr=log)
        while not (root / "data/checkpoints/rrdb/last.pt").is_file():
            assert killed.poll() is None, (root / "killed.log").read_text()
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    return run(root, *medsr("run"))


def test_a_killed_run_is_finished_by_the_next(root: Path, finished: str) -> None:
    assert "resuming after step" in finished
    assert (Layout(root).model("rrdb") / "run.json").is_file()
    assert not Layout(root).checkpoints("rrdb").exists()
    assert "cached" in finished, "what had ended before the kill is not done again"


def test_every_method_is_scored_on_every_held_out_image_of_patients_never_seen(root: Path, finished: str) -> None:
    layout = Layout(root)
    rows = read_rows(layout.sr_samples, SampleScore)
    samples = {row.sample for row in rows}
    assert len(samples) >= 4 and {(row.sample, row.method) for row in rows} == {
        (s, m) for s in samples for m in METHODS
    }
    sides: dict[str, set[str]] = {}
    for row in read_rows(layout.splits, SplitRow):
        if row.split:
            sides.setdefault(row.patient_id, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())
    assert {row.patient_id for row in rows} <= {patient for patient, side in sides.items() if side == {"test"}}


def test_nothing_is_lost_in_silence_and_no_name_is_left(root: Path, finished: str) -> None:
    layout = Layout(root)
    turned_away = {row.file_name: row.reason for row in read_rows(layout.index, IndexRow) if row.quarantined}
    assert set(turned_away) == {"again.dcm", "broken.dcm"} or set(turned_away) == {"3.dcm", "broken.dcm"}
    assert "less than expected" in turned_away["broken.dcm"]
    kept = [path for path in (root / "data").rglob("*") if path.is_file()]
    assert len(kept) > 20
    assert not [path for path in kept if b"Richard" in path.read_bytes() or b"MRN-000" in path.read_bytes()]


def test_one_champion_is_in_the_registry_and_a_second_run_changes_nothing(root: Path, finished: str) -> None:
    layout = Layout(root)
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.number == "1"
    assert read_json(layout.model(champion.method) / "run.json")["weights_sha256"] == champion.weights_sha256
    promotions = (layout.mlruns / "promotions.jsonl").read_text()
    assert [json.loads(line)["outcome"] for line in promotions.splitlines()] == ["promoted", "promoted"]
    again = run(root, *medsr("run"))
    assert "done" not in again and "cached" in again
    assert (layout.mlruns / "promotions.jsonl").read_text() == promotions
    assert len(registry.list_versions(layout, "sr-generator")) == 1
    card = (registry.folder_of(layout, champion).parents[1] / "model_card.md").read_text()
    assert card.startswith("# sr-generator 1: ") and "not stated: add dicom:archive to data/licences.csv" in card


def test_prefect_shows_the_verdict_and_the_tables(root: Path, finished: str) -> None:
    with closing(sqlite3.connect(root / ".prefect" / "prefect.db")) as database:
        kept = {key: json.loads(data) for key, data in database.execute("SELECT key, data FROM artifact")}
    leader = read_rows(Layout(root).sr_summary, MethodSummary)[0]
    assert set(kept) == {"verdict", "super-resolution", "readers"}
    assert "sr-generator 1 (" in kept["verdict"] and f"{leader.psnr_db_mean:.2f}" in str(kept["super-resolution"])


def test_dvc_by_hand_finds_nothing_to_do_after_the_flow(root: Path, finished: str) -> None:
    said = run(root, sys.executable, "-m", "dvc", "repro")
    assert "Running stage" not in said and "up to date" in said


def test_one_changed_setting_runs_only_what_hangs_on_it(root: Path, finished: str) -> None:
    path = root / "params.yaml"
    before = path.read_text()
    path.write_text(before.replace("floor_psnr_db: 0.0", "floor_psnr_db: 0.5"))
    try:
        assert list(json.loads(run(root, *medsr("plan", "--json")))) == ["report"]
    finally:
        path.write_text(before)


def test_the_champion_sharpens_a_dicom_image(root: Path, finished: str) -> None:
    run(root, *medsr("enhance", "archive/0.dcm", "sharp.dcm"))
    source, derived = pydicom.dcmread(root / "archive/0.dcm"), pydicom.dcmread(root / "sharp.dcm")
    assert (derived.Rows, derived.Columns) == (4 * source.Rows, 4 * source.Columns)
    assert derived.pixel_array.dtype == source.pixel_array.dtype
    assert derived.SOPInstanceUID != source.SOPInstanceUID and derived.StudyInstanceUID == source.StudyInstanceUID
    assert list(derived.ImageType[:2]) == ["DERIVED", "SECONDARY"]


def test_the_report_stands_alone(root: Path, finished: str) -> None:
    page = Layout(root).report.read_text()
    count, strange = untraced(page, root / "data", LOW_BAR.values())
    assert count > 300 and strange == {}, "numbers that no file holds"
    assert "SIMULATED cohort" in page and "http://" not in page and "https://" not in page


def test_a_later_run_is_held_against_the_champion_and_dvc_shows_what_changed(root: Path, finished: str) -> None:
    author = ("-c", "user.name=Roe", "-c", "user.email=roe@localhost")
    run(root, "git", "add", "dvc.yaml", "dvc.lock", "params.yaml", "data/reports", ".dvc")
    run(root, "git", *author, "commit", "--quiet", "-m", "the first run")
    path, layout = root / "params.yaml", Layout(root)
    path.write_text(path.read_text().replace("bootstrap_samples: 100", "bootstrap_samples: 150"))
    done = run(root, *medsr("run"))
    assert "training" not in done and len(registry.list_versions(layout, "sr-generator")) == 1
    champion = registry.by_alias(layout, "sr-generator", "champion")
    scores = read_rows(layout.sr_samples, SampleScore)
    own, before = (
        [row.psnr_db for row in scores if row.method == name] for name in (champion.method, "champion") if champion
    )
    assert before == own, "the same weights, from the registry"
    assert f"Before this run sr-generator 1 ({champion.method}) was in service" in layout.report.read_text()
    changed = json.loads(run(root, sys.executable, "-m", "dvc", "metrics", "diff", "--json"))
    gains = changed["data/reports/sr_metrics.json"]
    assert {"esrgan.psnr_gain_db_low", "champion.psnr_db_mean"} <= set(gains), gains
    assert "esrgan.psnr_db_mean" not in gains, "what did not change is not shown"
    run(root, sys.executable, "-m", "dvc", "plots", "diff", "--out", "plots")
    page = (root / "plots" / "index.html").read_text()
    for title in ("Mean radial power", "ROC of the readers", "PSNR on validation images"):
        assert title in page
    revisions = set(re.findall(r'"rev": "(\w+)"', page))
    assert revisions == {"HEAD", "workspace"}
