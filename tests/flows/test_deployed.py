from __future__ import annotations

import json
import os
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from components import params
from components.adapters import registry, training_runs
from components.handover import Layout, read_record
from components.monitoring import enhancement_log, image_statistics
from components.sources import listing
from flows import deployed, enhancement
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import PROJECT, all_that_prefect_stored, eventually
from tests.settings import content

pytestmark = pytest.mark.service


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose archive holds one file that the last run knew."""
    settings = content()
    settings["ingest"]["super_resolution"] = ["dicom:archive"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "data").mkdir()
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.dcm").write_bytes(b"a")
    listing.look(Layout(tmp_path), params.load(tmp_path / "params.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def events(since: datetime, name: str) -> list[str]:
    """What was said in those that the server has heard of, the newest first."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        wanted = {"filter": {"event": {"name": [name]}, "occurred": {"since": since.isoformat()}}}
        found = client.request("POST", "/events/filter", json=wanted)
    return [event["payload"]["said"] for event in found.json()["events"]]


def test_a_check_tells_the_server_of_new_files_once_they_rest(
    root: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime.now(UTC)
    assert deployed.data_check() == "nothing new in any source"
    new = root / "archive" / "b.dcm"
    new.write_bytes(b"b")
    said = "dicom:archive: 1 files came, 0 went, 0 changed since the last run"
    assert deployed.data_check().startswith(f"{said}; still arriving, the newest file is")
    in_an_hour = time.time() + 3600
    monkeypatch.setattr(listing, "time", SimpleNamespace(time=lambda: in_an_hour))
    assert deployed.data_check() == said
    assert eventually(lambda: bool(events(began, "medsr.data.arrived")), 180)
    # they arrive in the order in which they were sent: by now those of the checks before would be there
    assert events(began, "medsr.data.arrived") == [said]


def test_a_check_tells_again_of_files_that_the_run_after_the_first_did_not_ingest(
    root: Path, prefect_server: str
) -> None:
    yesterday = time.time() - 86_400
    os.utime(root / "data" / "sources.json", (yesterday, yesterday))
    began, said = datetime.now(UTC), "dicom:archive: seen by a run that did not come to ingest them"
    assert deployed.data_check() == said
    assert eventually(lambda: events(began, "medsr.data.arrived") == [said], 180)


@pytest.mark.parametrize("deployment", ["weekly", "nightly", "promotion", "drift", "hourly", "daily"])
def test_prefect_finds_what_each_deployment_starts(
    deployment: str, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.flows import load_flow_from_entrypoint

    monkeypatch.chdir(PROJECT)
    described = yaml.safe_load(Path("infra/prefect.yaml").read_text())["deployments"]
    (wanted,) = (one for one in described if one["name"] == deployment)
    flow = load_flow_from_entrypoint(wanted["entrypoint"], use_placeholder_flow=False)
    given = wanted.get("parameters") or wanted["triggers"][0]["parameters"]
    assert set(given) == set(flow.parameters.properties)


def test_a_run_that_does_not_end_well_fails(root: Path, prefect_server: str) -> None:
    from dvc.repo import Repo

    (root / "dvc.yaml").write_text('stages:\n  only: {cmd: "exit 3"}\n')
    Repo.init(str(root), no_scm=True).close()
    with pytest.raises(RuntimeError, match="only failed, exit code 3"):
        deployed.training()


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
    with pytest.raises(AttributeError, match="no attribute 'nightly'"):
        _ = deployed.nightly
