"""The whole journey, as a user makes it: `medsr run` on drawn DICOM, killed on the way, run again, and used."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pydicom
import pytest

from components import params
from components.adapters import registry
from components.handover import (
    GENERATORS,
    METHODS,
    IndexRow,
    Layout,
    SplitRow,
    read_json,
    read_rows,
)
from components.handover.sr_rows import MethodSummary, SampleScore
from tests.flows.conftest import eventually
from tests.journey import DIGESTS, commit, digests, drawn, medsr, run, undisturbed
from tests.killing import StageKiller
from tests.object_store import ObjectStore, served
from tests.origins import name_of
from tests.services import with_home
from tests.tracing import untraced

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

__all__ = ["drawn", "undisturbed"]  # fixtures


@pytest.fixture(scope="module")
def root(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(drawn, tmp_path_factory.mktemp("killed") / "project"))


@pytest.fixture(scope="module")
def killer(root: Path) -> StageKiller:
    """Of every stage, once; it has to be entered."""
    return StageKiller(root, outputs(root))


def outputs(root: Path) -> dict[str, list[Path]]:
    """By stage, as its command names it: `train rrdb`."""
    from dvc.repo import Repo

    with Repo(str(root)) as repository:
        stages = [stage for stage in repository.index.stages if stage.cmd]
        written = [[Path(out.fs_path) for out in stage.outs] for stage in stages]
    return {stage.cmd.split("components.")[1]: paths for stage, paths in zip(stages, written, strict=True)}


@pytest.fixture(scope="module")
def finished(root: Path, killer: StageKiller) -> str:
    """The output of the run that finished, every stage killed on the way, and the whole run in a resumed training."""
    log, checkpoint = root / "killed.log", killer.checkpoint("train rrdb")
    with log.open("w") as lines, killer:
        killed = subprocess.Popen(medsr("run"), cwd=root, env=with_home(root), stdout=lines, stderr=lines)

        def comes_to_pass(holds: Callable[[], bool]) -> None:
            assert eventually(lambda: holds() or killed.poll() is not None, 300), log.read_text()
            assert killed.poll() is None, log.read_text()

        comes_to_pass(lambda: "train rrdb" in killer.killed)
        left = checkpoint.stat().st_mtime_ns
        comes_to_pass(lambda: checkpoint.stat().st_mtime_ns != left)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        return run(root, *medsr("run"))


@pytest.fixture(scope="module")
def committed(root: Path, finished: str) -> Path:
    """The project with the finished run in git."""
    commit(root, "the first run")
    return root


def with_remote(root: Path, store: ObjectStore) -> None:
    for verb, *rest in store.settings():
        run(root, sys.executable, "-m", "dvc", "remote", verb, "--local", *rest)


def test_a_killed_run_is_finished_by_the_next(root: Path, finished: str) -> None:
    assert "resuming after step" in finished
    assert (Layout(root).model("rrdb") / "run.json").is_file()
    assert not Layout(root).checkpoints("rrdb").exists()
    assert "cached" in finished, "what had ended before the kill is not done again"


def test_stages_that_were_killed_gave_what_they_give_undisturbed(
    root: Path, finished: str, killer: StageKiller, undisturbed: Path
) -> None:
    assert killer.killed == set(outputs(root)) - {"list_sources"}, "the flow had listed them itself"
    assert len(killer.killed_writing) >= 3, "of those that write many files, some were caught at it"
    assert len([path for path in digests(root) if path.endswith(".safetensors")]) >= len(GENERATORS) + 2
    assert digests(root) == read_json(undisturbed / DIGESTS)


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


def test_nothing_is_lost_in_silence(root: Path, finished: str) -> None:
    layout = Layout(root)
    turned_away = {
        name_of(layout, row.file_name): row.reason for row in read_rows(layout.index, IndexRow) if row.quarantined
    }
    assert set(turned_away) == {"again.dcm", "broken.dcm"} or set(turned_away) == {"3.dcm", "broken.dcm"}
    assert "less than expected" in turned_away["broken.dcm"]


def test_no_file_of_a_run_no_record_and_no_line_of_it_tells_whose_images_they_were(root: Path, finished: str) -> None:
    """Data and cache, MLflow's database and artifacts, Prefect's database, logs: all but the archive itself."""
    left = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(root / "archive")]
    for folder in ("data/raw", "mlruns", ".prefect", ".dvc/cache"):
        assert any(path.is_relative_to(root / folder) for path in left), folder
    identities = (b"Richard", b"MRN-000", b"ACC778899", b"House^Gregory")
    assert not [(path, one) for path in left for one in identities if one in path.read_bytes()]
    assert not [one for one in identities if one.decode() in finished]


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
    assert set(kept) == {"verdict", "super-resolution", "classifiers"}
    assert "sr-generator 1 (" in kept["verdict"] and f"{leader.psnr_db_mean:.2f}" in str(kept["super-resolution"])


def test_dvc_by_hand_finds_nothing_to_do_after_the_flow(root: Path, finished: str) -> None:
    said = run(root, sys.executable, "-m", "dvc", "repro")
    assert re.findall(r"Running stage '(.*)'", said) == ["list_sources@folders"]


def test_a_fresh_clone_pulls_data_and_models_and_has_the_champion_without_training(
    committed: Path, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    run(committed, "git", "clone", "--quiet", str(committed), str(fresh))
    with served(tmp_path) as store:
        with_remote(committed, store)
        run(committed, sys.executable, "-m", "dvc", "push", "--run-cache")
        secret = (committed / "data/.salt").read_bytes().strip()
        assert secret and not [key for key, held in store.content().items() if secret in held]
        with_remote(fresh, store)
        run(fresh, sys.executable, "-m", "dvc", "pull", "--run-cache")
    assert json.loads(run(fresh, *medsr("plan", "--json"))) == {}
    said = run(fresh, *medsr("run"))
    assert {line.split()[0] for line in said.splitlines() if re.search(r"\bdone\b", line)} == {"register"}
    own, theirs = (registry.by_alias(Layout(root), "sr-generator", "champion") for root in (fresh, committed))
    assert own is not None and theirs is not None and own.weights_sha256 == theirs.weights_sha256
    assert not (fresh / "data/.salt").exists()


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
    assert untraced(page, Layout(root), params.load(root / "params.yaml")) == [], "numbers that no file holds"
    assert "SIMULATED cohort" in page and set(re.findall('https?://[^/"<]*', page)) == {"http://127.0.0.1:5000"}


def test_a_later_run_is_held_against_the_champion_and_dvc_shows_what_changed(root: Path, committed: Path) -> None:
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
    for title in ("Mean radial power", "ROC of the classifiers", "PSNR on validation images"):
        assert title in page
    revisions = set(re.findall(r'"rev": "(\w+)"', page))
    assert revisions == {"HEAD", "workspace"}
