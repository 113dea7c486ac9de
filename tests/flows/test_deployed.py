from __future__ import annotations

import json
import os
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from components.adapters import registry, training_runs
from components.handover import Layout, StepError, read_record
from components.monitoring import enhancement_log, image_statistics
from components.sources import listing
from flows import deployed, enhancement, pipeline
from flows.project_lock import hold
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import PROJECT, all_that_prefect_stored, eventually
from tests.settings import content

pytestmark = pytest.mark.service


CHECK = """\
stages:
  ingest:
    cmd: mkdir -p data/raw; ls archive > data/raw/index.csv; test ! -e full
    deps: [data/sources.json]
    outs: [data/raw]
    meta: {retries: 0}
  split: {cmd: cp data/raw/index.csv data/splits.csv, deps: [data/raw], outs: [data/splits.csv]}
  validate: {cmd: "wc -l < data/splits.csv > verdict", deps: [data/splits.csv], outs: [verdict]}
  train: {cmd: cp data/raw/index.csv trained, deps: [data/raw, verdict], outs: [trained]}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of four stages whose archive holds one file."""
    from dvc.repo import Repo

    settings = content()
    settings["ingest"]["super_resolution"] = ["dicom:archive"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "dvc.yaml").write_text(CHECK)
    (tmp_path / "data").mkdir()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.dcm").write_bytes(b"a")
    Repo.init(str(tmp_path), no_scm=True).close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def events(since: datetime, name: str) -> list[str]:
    """What was said in those that the server has heard of, the newest first."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        wanted = {"filter": {"event": {"name": [name]}, "occurred": {"since": since.isoformat()}}}
        found = client.request("POST", "/events/filter", json=wanted)
    return [event["payload"]["said"] for event in found.json()["events"]]


def train() -> None:
    """What a training does after the check: it has seen the images."""
    from dvc.repo import Repo

    with Repo() as repository:
        repository.reproduce("train")


def test_a_check_ingests_new_files_once_they_rest_and_tells_the_server(
    root: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, said = datetime.now(UTC), "dicom:archive: {} files came, 0 went, 0 changed since the last run"
    assert deployed.data_check(quiet_minutes=0) == said.format(1)
    assert (root / "verdict").read_text() == "1\n" and not (root / "trained").exists()
    train()
    assert deployed.data_check() == "nothing new in any source"
    (root / "archive" / "b.dcm").write_bytes(b"b")
    assert deployed.data_check().startswith(f"{said.format(1)}; still arriving, the newest file is")
    assert (root / "verdict").read_text() == "1\n", "nothing was ingested"
    in_an_hour = time.time() + 3600
    monkeypatch.setattr(listing, "time", SimpleNamespace(time=lambda: in_an_hour))
    assert deployed.data_check() == said.format(1)
    assert (root / "verdict").read_text() == "2\n"
    later = "images of an earlier check that no training has seen"
    assert deployed.data_check() == later, "until a training has seen them"
    train()
    assert deployed.data_check() == "nothing new in any source"
    told = [later, said.format(1), said.format(1)]
    assert eventually(lambda: events(began, "medsr.data.arrived") == told, 180), events(began, "medsr.data.arrived")


def test_a_check_that_fails_tells_of_no_new_images_and_the_next_one_does(root: Path, prefect_server: str) -> None:
    began = datetime.now(UTC)
    (root / "full").touch()
    failed = deployed.data_check(quiet_minutes=0, return_state=True)
    assert failed.is_failed() and failed.message.startswith("ingest failed, exit code 1")
    (root / "full").unlink()
    assert deployed.data_check(quiet_minutes=0) == "images of an earlier check that no training has seen"
    assert eventually(lambda: len(events(began, "medsr.data.arrived")) == 1, 180)


def test_a_check_leaves_a_project_alone_at_which_a_run_is_at_work(root: Path, prefect_server: str) -> None:
    with hold(Layout(root).run_lock, "a long run"):
        assert "a long run" in deployed.data_check(quiet_minutes=0)
    assert not (root / "verdict").exists()


def test_a_graph_without_the_stages_of_a_check_is_named(root: Path, prefect_server: str) -> None:
    (root / "dvc.yaml").write_text('stages:\n  only: {cmd: "true"}\n')
    with pytest.raises(StepError, match=r"dvc\.yaml: expected the stages ingest, split, validate"):
        deployed.data_check(quiet_minutes=0)


@pytest.mark.parametrize("deployment", yaml.safe_load((PROJECT / "infra/prefect.yaml").read_text())["deployments"])
def test_prefect_finds_what_each_deployment_starts(
    deployment: dict[str, Any], prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.flows import load_flow_from_entrypoint

    monkeypatch.chdir(PROJECT)
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    given = deployment.get("parameters") or deployment["triggers"][0]["parameters"]
    assert set(given) == set(flow.parameters.properties)


def image(path: Path) -> None:
    write_dicom(path, dicom((shapes(40, 56) * 3000).astype(np.uint16)))
    hour_ago = path.stat().st_mtime - 3600
    os.utime(path, (hour_ago, hour_ago))


def test_an_inbox_is_enhanced_and_what_failed_is_named(
    project: Layout, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(enhancement, "QUIET_S", 0.0)
    assert deployed.enhancement() == "inbox: no such folder, nothing to enhance"
    record = training_runs.restore(project, read_record(project.model("srcnn") / "run.json"))
    registry.point(project, registry.register(project, "sr-generator", record, {}), "champion")
    image(project.root / "inbox" / "a.dcm")
    assert deployed.enhancement() == "1 enhanced, 0 failed, 0 done before"
    assert (project.root / "outbox" / "a.dcm").is_file()
    (project.root / "inbox" / "b.dcm").write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"0 enhanced, 1 failed, 1 done before; reasons stand in outbox, each in"):
        deployed.enhancement()
    assert deployed.enhancement() == "0 enhanced, 0 failed, 2 done before"


IDENTITY = ("Lime", "Harry", "MRN-4711", "9.8.7.4711")


def test_prefect_never_hears_whose_images_lie_in_the_inbox(
    project: Layout, prefect_server: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(enhancement, "QUIET_S", 0.0)
    record = training_runs.restore(project, read_record(project.model("srcnn") / "run.json"))
    registry.point(project, registry.register(project, "sr-generator", record, {}), "champion")
    folder = project.root / "inbox" / "Lime^Harry_MRN-4711"
    odd = {"PatientName": "Lime^Harry", "PatientID": "MRN-4711", "FrameOfReferenceUID": "9.8.7.4711.x"}
    with warnings.catch_warnings(action="ignore"):
        write_dicom(folder / "IM1.dcm", dicom((shapes(40, 56) * 3000).astype(np.uint16), **odd))
    (folder / "broken.dcm").write_bytes(b"Lime^Harry")
    capfd.readouterr()
    with pytest.raises(RuntimeError, match="1 enhanced, 1 failed"):
        deployed.enhancement()

    def full(source: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(source))

    write_dicom(folder / "late.dcm", dicom((shapes(40, 56) * 3000).astype(np.uint16)))
    monkeypatch.setattr(enhancement, "enhance_file", full)
    with pytest.raises(RuntimeError, match="No space left on device: the machine failed, and no image did"):
        deployed.enhancement()
    told = ("image 1: enhanced", "image 2: failed", "1 enhanced, 1 failed, 0 done before", "No space left on device")
    assert eventually(lambda: all(one in all_that_prefect_stored() for one in told)), "it has heard how many"
    everything = all_that_prefect_stored() + "".join(capfd.readouterr())
    assert not [one for one in IDENTITY if one in everything]
    assert (project.root / "outbox" / "Lime^Harry_MRN-4711" / "broken.dcm.failed.txt").is_file()


def test_drift_is_told_to_the_server_and_shown_on_its_pages(
    project: Layout, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import get_client

    monkeypatch.chdir(project.root)
    began = datetime.now(UTC)
    assert deployed.monitoring() == "no image was enhanced in the last 7 days"
    at = enhancement_log.now()
    seen = enhancement_log.Record(
        at, "MG", 40, 56, 1, "sr-generator", "1", 0.5, image_statistics.measure(shapes(40, 56))
    )
    enhancement_log.note(project, seen)
    assert deployed.monitoring() == "never trained on: MG"
    assert eventually(lambda: bool(events(began, "medsr.drift.found")), 180)
    assert events(began, "medsr.drift.found") == ["never trained on: MG"]
    with get_client(sync_client=True) as client:
        newest = max((one for one in client.read_artifacts() if one.key == "drift"), key=lambda one: one.created)
    assert len(json.loads(newest.data)) == len(image_statistics.STATISTICS)
    assert "Never trained on: MG." in (project.mlruns / "monitoring" / "drift.html").read_text()


def test_a_flow_that_is_not_there_is_named() -> None:
    for module in (deployed, pipeline):
        with pytest.raises(AttributeError, match="no attribute 'nightly'"):
            _ = module.nightly
