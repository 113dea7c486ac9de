"""The whole journey, as a user makes it: `medsr run` on drawn DICOM, killed on the way, run again, and used."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import yaml

from components import params, promotion
from components.adapters import registry
from components.evidence_rows import MethodSummary, SampleScore
from components.handover import (
    GENERATORS,
    METHODS,
    IndexRow,
    Layout,
    SplitRow,
    read_json,
    read_rows,
)
from flows.stages import read_graph
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import eventually
from tests.killing import StageKiller
from tests.object_store import ObjectStore, served
from tests.services import Services, schedule, up, with_home
from tests.settings import content
from tests.test_register import LOW_BAR
from tests.tracing import untraced

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

PROJECT = Path(__file__).parents[1]
COPIED = ("components", "flows", "data/champion", "data/outside", "data/shared", "data/licences.csv", "dvc.yaml")
COPIED += ("data/sources.json", ".dvc/plots", ".dvcignore", ".gitignore")
MODALITIES = ("CT", "MR", "CR", "DX")
UNDISTURBED = """
import runpy, sys

for command in sys.argv[1:]:
    sys.argv = command.split()
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
"""


def draw(folder: Path, numbers: range) -> None:
    """One image a patient, of four modalities."""
    for number in numbers:
        modality = MODALITIES[number % 4]
        stored = (shapes(136 + 4 * number, 121, seed=number) * 4000).astype(np.uint16)
        image = dicom(stored, modality, PatientID=f"MRN-{number:05}", PatientName=f"Roe{number}^Richard")
        write_dicom(folder / f"{number}.dcm", image)


def draw_archive(folder: Path) -> None:
    """Sixteen patients, one image twice, one file that is none."""
    draw(folder, range(16))
    shutil.copy(folder / "3.dcm", folder / "again.dcm")
    whole = (folder / "5.dcm").read_bytes()
    (folder / "broken.dcm").write_bytes(whole[: len(whole) // 2])


def settings() -> dict[str, object]:
    shrunk = content()
    shrunk["ingest"]["super_resolution"] = ["dicom:archive"]
    shrunk["promote"] |= LOW_BAR
    shrunk["quick"]["train"]["rrdb"] |= {"steps": 100, "checkpoint_every": 5}
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
    hasten(root / "dvc.yaml")
    return root


def hasten(path: Path) -> None:
    """What was killed is tried again after a second."""
    graph = yaml.safe_load(path.read_text())
    for stage in graph["stages"].values():
        stage = stage.get("do", stage)
        stage["meta"] = stage.get("meta", {}) | {"retry_after_s": 1}
    path.write_text(yaml.safe_dump(graph, sort_keys=False))


def run(root: Path, *command: str, expect: int = 0) -> str:
    """What the command printed; its exit code has to be `expect`."""
    done = subprocess.run(command, cwd=root, env=with_home(root), capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def medsr(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "flows.cli", *arguments)


@pytest.fixture(scope="module")
def killer(root: Path) -> StageKiller:
    """Of every stage, once; it has to be entered."""
    return StageKiller(root, outputs(root))


def commands(root: Path) -> list[str]:
    """The module of each stage and its arguments, in order."""
    return [stage.command.removeprefix("python -m ") for stage in read_graph(root)]


def outputs(root: Path) -> dict[str, list[Path]]:
    """By stage, as its command names it: `train rrdb`."""
    from dvc.repo import Repo

    with Repo(str(root)) as repository:
        stages = [stage for stage in repository.index.stages if stage.cmd]
        written = [[Path(out.fs_path) for out in stage.outs] for stage in stages]
    return {stage.cmd.split("components.")[1]: paths for stage, paths in zip(stages, written, strict=True)}


@pytest.fixture(scope="module")
def finished(root: Path, killer: StageKiller) -> str:
    """The output of the run that finished, every stage killed on the way, and the whole run in a training."""
    with (root / "killed.log").open("w") as log, killer:
        killed = subprocess.Popen(medsr("run"), cwd=root, env=with_home(root), stdout=log, stderr=log)
        while "train rrdb" not in killer.killed or not (root / "data/checkpoints/rrdb/last.pt").is_file():
            assert killed.poll() is None, (root / "killed.log").read_text()
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        return run(root, *medsr("run"))


@pytest.fixture(scope="module")
def committed(root: Path, finished: str) -> Path:
    """The project with the finished run in git, as far as it belongs there."""
    author = ("-c", "user.name=Roe", "-c", "user.email=roe@localhost")
    run(root, "git", "add", *COPIED, "params.yaml", "dvc.lock", "data", "archive", ".dvc")
    run(root, "git", *author, "commit", "--quiet", "-m", "the first run")
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
    root: Path, finished: str, killer: StageKiller, tmp_path: Path
) -> None:
    assert killer.killed == set(outputs(root))
    assert len(killer.killed_writing) >= 3, "of those that write many files, some were caught at it"
    calm = tmp_path / "calm"
    run(root, "git", "init", "--quiet", str(calm))
    for name in (*COPIED, "params.yaml", "archive", "data/reviewed_regions.csv", "data/.salt"):
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        (calm / name).parent.mkdir(parents=True, exist_ok=True)
        copy(root / name, calm / name)
    run(calm, sys.executable, "-c", UNDISTURBED, *commands(root))
    weights = [path.relative_to(root) for path in (root / "data/models").rglob("*.safetensors")]
    assert len(weights) >= len(GENERATORS) + 2
    tables = [Path("data", name) for name in ("raw/index.csv", "splits.csv", "reports/sr_samples.csv")]
    for path in (*weights, *tables, Path("data/reports/readings.csv")):
        assert (root / path).read_bytes() == (calm / path).read_bytes(), path


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
    turned_away = {row.file_name: row.reason for row in read_rows(layout.index, IndexRow) if row.quarantined}
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
    assert set(kept) == {"verdict", "super-resolution", "readers"}
    assert "sr-generator 1 (" in kept["verdict"] and f"{leader.psnr_db_mean:.2f}" in str(kept["super-resolution"])


def test_dvc_by_hand_finds_nothing_to_do_after_the_flow(root: Path, finished: str) -> None:
    said = run(root, sys.executable, "-m", "dvc", "repro")
    assert "Running stage" not in said and "up to date" in said


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
    for title in ("Mean radial power", "ROC of the readers", "PSNR on validation images"):
        assert title in page
    revisions = set(re.findall(r'"rev": "(\w+)"', page))
    assert revisions == {"HEAD", "workspace"}


def test_new_images_are_learned_from_compared_and_promoted_by_schedule_and_rolled_back(
    root: Path, committed: Path
) -> None:
    layout, path = Layout(root), root / "params.yaml"
    before = registry.by_alias(layout, "sr-generator", "champion")
    draw(root / "archive" / "new", range(16, 22))
    path.write_text(path.read_text().replace("gain_over_champion_db: 0.0", "gain_over_champion_db: -99.0"))
    schedule(root, PROJECT, training_alone)
    with up(root, with_home(root)) as services:
        assert eventually(lambda: "Completed" in states(services), 900), states(services)
    names = {row.file_name for row in read_rows(layout.index, IndexRow) if not row.quarantined}
    assert {f"{number}.dcm" for number in range(16, 22)} <= {Path(name).name for name in names}
    champion, previous = (registry.by_alias(layout, "sr-generator", alias) for alias in ("champion", "previous"))
    assert before and previous and champion
    assert (previous.number, champion.number) == (before.number, "2")
    scored = {row.method for row in read_rows(layout.sr_samples, SampleScore)}
    assert "champion" in scored, "the one in service, on the same held-out images"
    (entry,) = (one for one in promotion.history(layout) if one["version"] == "2" and one["model"] == "sr-generator")
    assert (entry["outcome"], entry["replaced"], entry["by"]) == ("promoted", before.number, "policy")
    assert any("champion" in line["rule"] for line in entry["lines"])
    run(root, *medsr("models", "rollback", "--reason", "a ring in the images"))
    back = registry.by_alias(layout, "sr-generator", "champion")
    assert back is not None and back.number == before.number


def test_a_version_is_made_again_bit_for_bit_and_one_that_cannot_be_says_why(root: Path, committed: Path) -> None:
    newest = registry.list_versions(Layout(root), "sr-generator")[-1]
    assert newest.number == "2"
    before = sorted(path for path in (root / "data").rglob("*") if path.is_file())
    told = json.loads(run(root, *medsr("models", "reproduce", "2", "--json")))
    assert told["same"] and told["found_sha256"] == newest.weights_sha256 and told["environment"] == {}
    assert sorted(path for path in (root / "data").rglob("*") if path.is_file()) == before
    run(root, *medsr("models", "reproduce", "1"), expect=1)
    assert len(registry.list_versions(Layout(root), "sr-generator")) == 2


def training_alone(deployments: dict[str, Any]) -> None:
    for deployment in deployments.values():
        deployment.pop("schedules", None)
    deployments["weekly"]["schedules"] = [{"interval": 30}]


def states(services: Services) -> list[str]:
    """Of the trainings that the schedule has started."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    weekly = DeploymentFilter(name=DeploymentFilterName(any_=["weekly"]))
    with SyncPrefectClient(services.api) as client:
        return [one.state_name for one in client.read_flow_runs(deployment_filter=weekly)]
