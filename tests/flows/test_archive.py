from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import LocalCluster
from pydicom import dcmread
from pydicom.fileset import FileSet

from components.adapters import registry, tracking, training_runs
from components.adapters.dicomweb import Remote
from components.handover import Layout, StepError, read_record
from flows import archive, enhancement
from flows.enhancement import REASON, Batch
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import PROJECT, all_that_prefect_stored, ending, eventually
from tests.orthanc import STORED, Pacs, dicomweb, orthanc, pacs, service_port

pytestmark = pytest.mark.service

__all__ = ["dicomweb", "orthanc", "pacs", "service_port"]  # fixtures

# what a Dask worker does first: from then on an image of 64 rows ends its process
PRELOAD = """
import os
from pydicom import dcmread
from components.enhance import enhance_file as real
from flows import enhancement

def enhance_file(source, *others, **more):
    if dcmread(source).Rows == 64:
        os._exit(9)
    return real(source, *others, **more)

enhancement.enhance_file = enhance_file
"""
RUN = """
import sys
from pathlib import Path
from components.handover import Layout
from flows import archive

if __name__ == "__main__":
    archive.run(Layout(), Path("in"), Path("out"), lambda name, failure: print(name, flush=True), int(sys.argv[1]))
"""


@pytest.fixture
def layout(project: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project with a champion, `in` of twelve images in two folders."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.initialise(project)
    record = training_runs.restore(project, read_record(project.model("srcnn") / "run.json"))
    registry.point(project, registry.register(project, "sr-generator", record, {}), "champion")
    for number in range(12):
        stored = (shapes(40, 48, seed=number) * 3000).astype(np.uint16)
        write_dicom(project.root / "in" / f"{number % 2}" / f"{number}.dcm", dicom(stored))
    return project


def run(layout: Layout, source: str = "in", outbox: str = "out", workers: int = 1, scheduler: str = "") -> Batch:
    return archive.run(layout, layout.root / source, layout.root / outbox, lambda *_: None, workers, scheduler)


def made(folder: Path) -> dict[str, bytes]:
    """Pixels by place."""
    return {str(path.relative_to(folder)): dcmread(path).PixelData for path in folder.rglob("*.dcm")}


def test_every_image_of_a_folder_is_made_once_at_its_own_place(layout: Layout) -> None:
    (layout.root / "in" / "notes.txt").write_text("no image")
    batch = run(layout)
    assert len(batch.made) == 12 and list(batch.failed) == ["notes.txt"]
    assert set(made(layout.root / "out")) == {f"{number % 2}/{number}.dcm" for number in range(12)}
    assert (layout.root / "out" / f"notes.txt{REASON}").is_file()
    assert run(layout).summary() == "0 enhanced, 0 failed, 13 done before"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a Dask scheduler with two workers, such as a cluster has."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_several_processes_and_a_cluster_make_the_same_pixels(
    layout: Layout, prefect_server: str, scheduler: str
) -> None:
    (layout.root / "in" / "notes.txt").write_text("no image")
    for outbox, batch in (
        ("one", run(layout, outbox="one")),
        ("two", run(layout, outbox="two", workers=2)),
        ("cluster", run(layout, outbox="cluster", scheduler=scheduler)),
    ):
        assert (sorted(batch.made), list(batch.failed)) == (
            sorted(f"{number % 2}/{number}.dcm" for number in range(12)), ["notes.txt"],
        ), outbox  # fmt: skip
    assert made(layout.root / "one") == made(layout.root / "two") == made(layout.root / "cluster")


def test_an_image_that_ends_its_process_is_named_and_all_others_are_made(
    layout: Layout, prefect_server: str, tmp_path: Path
) -> None:
    write_dicom(layout.root / "in" / "bad.dcm", dicom((shapes(64, 64) * 3000).astype(np.uint16)))
    (tmp_path / "preload.py").write_text(PRELOAD)
    with dask.config.set(
        {"distributed.worker.preload": [str(tmp_path / "preload.py")], "distributed.scheduler.allowed-failures": 1}
    ):
        batch = run(layout, workers=2)
    assert batch.failed == {"bad.dcm": "its process ended at work on it, more than once"}
    assert len(batch.made) == 12 == len(made(layout.root / "out"))
    assert run(layout).summary() == "0 enhanced, 0 failed, 13 done before"


def test_where_no_process_can_be_started_any_more_the_run_ends_and_says_so(
    layout: Layout, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dicom(layout.root / "in" / "bad.dcm", dicom((shapes(64, 64) * 3000).astype(np.uint16)))
    path = tmp_path / "preload.py"
    last_act = f"open({str(path)!r}, 'w').write('import os; os._exit(1)'); os._exit(9)"
    path.write_text(PRELOAD.replace("os._exit(9)", last_act))  # what is started in its place ends at once
    monkeypatch.setattr(archive, "NO_WORKER_S", 5)
    preload = {"distributed.worker.preload": [str(path)], "distributed.scheduler.allowed-failures": 9}
    with dask.config.set(preload), pytest.raises(StepError, match="expected a process to enhance images within 5 s"):
        run(layout, workers=2)


def test_what_the_machine_lacks_is_said_to_whoever_began_it_and_prefect_hears_no_name(
    layout: Layout, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.task_runners import ThreadPoolTaskRunner

    def full(source: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(source))

    monkeypatch.setattr(enhancement, "enhance_file", full)
    monkeypatch.setattr(archive, "_runner", lambda *_: ThreadPoolTaskRunner(max_workers=1))
    (layout.root / "in").rename(layout.root / "Kurtz^Anna")
    with pytest.raises(OSError, match=r"No space left on device: .*Kurtz"):
        run(layout, "Kurtz^Anna", workers=2)
    assert eventually(lambda: "whoever began this run was told how" in all_that_prefect_stored())
    assert "Kurtz" not in all_that_prefect_stored()


def test_killed_in_the_middle_the_same_command_goes_on_and_nothing_is_half_written(layout: Layout) -> None:
    (layout.root / "run.py").write_text(RUN)
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "run.py", "1"]
    begun = subprocess.Popen(
        command, cwd=layout.root, env=environment | {"PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE, text=True
    )
    with ending(begun) as process:
        assert process.stdout
        before = [process.stdout.readline().strip() for _ in range(3)]
        process.kill()
    there = made(layout.root / "out")
    assert set(before) <= set(there) and len(there) < 12
    times = {name: (layout.root / "out" / name).stat().st_mtime_ns for name in there}
    batch = run(layout)
    assert batch.before == len(there) and len(batch.made) == 12 - len(there)
    assert {name: (layout.root / "out" / name).stat().st_mtime_ns for name in there} == times
    assert made(layout.root / "out") == {**made(layout.root / "out"), **there}
    assert not [path for path in (layout.root / "out").rglob("*") if path.name.startswith(".")]


def media(root: Path, count: int = 3) -> Path:
    """A disc as hospitals hand them out: a DICOMDIR and what it names."""
    disc = FileSet()
    for number in range(count):
        image = dicom((shapes(40, 48, seed=number) * 3000).astype(np.uint16), InstanceNumber=number + 1)
        disc.add(image)
    disc.write(root / "disc")
    return root / "disc" / "DICOMDIR"


def test_what_a_dicomdir_names_is_made_and_nothing_else(layout: Layout) -> None:
    path = media(layout.root)
    write_dicom(path.parent / "unnamed", dicom((shapes(40, 40) * 255).astype(np.uint8)))
    batch = run(layout, "disc/DICOMDIR")
    assert len(batch.made) == 3 and not batch.failed
    assert all((layout.root / "out" / name).is_file() for name in batch.made)
    assert run(layout, "disc/DICOMDIR").before == 3


def test_a_dicomdir_leads_to_no_file_outside_and_says_what_is_missing(layout: Layout) -> None:
    path = media(layout.root)
    write_dicom(layout.root / "secret.dcm", dicom((shapes(40, 40) * 255).astype(np.uint8)))
    directory = dcmread(path)
    images = [record for record in directory.DirectoryRecordSequence if record.DirectoryRecordType == "IMAGE"]
    images[0].ReferencedFileID = ["..", "secret.dcm"]
    images[1].ReferencedFileID = ["NOT", "THERE"]
    directory.save_as(path)
    batch = run(layout, "disc/DICOMDIR")
    assert batch.failed == {
        "../secret.dcm": "leads out of the folder of its DICOMDIR",
        "NOT/THERE": "is named in the DICOMDIR, and no file is there",
    }
    assert len(batch.made) == 1
    assert sorted(one.name for one in layout.root.rglob("*.dcm") if "secret" in one.name) == ["secret.dcm"]


def test_what_is_no_archive_and_what_has_no_champion_is_said(layout: Layout, tmp_path: Path) -> None:
    (layout.root / "DICOMDIR").write_bytes(b"no directory")
    with pytest.raises(StepError, match="expected a DICOMDIR, found none that can be read"):
        run(layout, "DICOMDIR")
    with pytest.raises(StepError, match="expected a folder or a DICOMDIR"):
        run(layout, "run.json")
    registry.release(layout, "sr-generator", "champion")
    with pytest.raises(StepError, match="expected a promoted model, found none"):
        run(layout)


def asked(layout: Layout, url: str, outbox: str = "out", give_back: bool = False, **more: Any) -> Batch:
    """Every image of the patients at hand."""
    query = archive.Query(url, {"PatientID": "*"}, give_back)
    return archive.run(layout, query, layout.root / outbox, lambda *_: None, **more)


def test_what_a_pacs_answers_to_a_query_is_made_and_given_back_once(layout: Layout, dicomweb: str, pacs: Pacs) -> None:
    batch = asked(layout, dicomweb, give_back=True)
    assert (len(batch.made), batch.failed, batch.others) == (len(STORED), {}, 0)
    back = {image.SOPInstanceUID: image for image in pacs.derived()}
    here = [dcmread(path) for path in (layout.root / "out").rglob("*.dcm")]
    assert len(here) == len(back) == len(STORED)
    for image in here:
        given = back[image.SOPInstanceUID]
        assert given.PixelData == image.PixelData and given.StudyInstanceUID == image.StudyInstanceUID
        assert image.ContributingEquipmentSequence[-1].ManufacturerModelName == "sr-generator"
    assert {path.relative_to(layout.root / "out").parts[0] for path in (layout.root / "out").rglob("*.dcm")} == {
        image.StudyInstanceUID for image in here
    }
    again = asked(layout, dicomweb, give_back=True)
    assert again.summary() == f"0 enhanced, 0 failed, {len(STORED)} done before, {len(STORED)} others passed over"
    assert len(pacs.derived()) == len(STORED)


def test_what_a_pacs_holds_is_made_alike_by_several_processes(
    layout: Layout, dicomweb: str, prefect_server: str
) -> None:
    assert asked(layout, dicomweb, "one").failed == {}
    assert len(asked(layout, dicomweb, "two", workers=2).made) == len(STORED)
    assert made(layout.root / "one") == made(layout.root / "two")


def test_a_pacs_that_goes_away_stops_the_run_and_what_is_done_stays(
    layout: Layout, dicomweb: str, pacs: Pacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, begun = Remote.fetch, []

    def fetch_two(self: Remote, path: Path) -> None:
        if len(begun) == 2:
            raise OSError("the archive is away")
        begun.append(self)
        fetch(self, path)

    monkeypatch.setattr(Remote, "fetch", fetch_two)
    with pytest.raises(OSError, match="is away"):
        asked(layout, dicomweb, give_back=True)
    assert len(made(layout.root / "out")) == 2 == len(pacs.derived())
    monkeypatch.setattr(Remote, "fetch", fetch)
    batch = asked(layout, dicomweb, give_back=True)
    assert (len(batch.made), batch.before) == (len(STORED) - 2, 2)


def test_what_is_not_taken_back_is_not_done(layout: Layout, dicomweb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Remote, path: Path) -> None:
        raise StepError(f"{self.url}: expected it to be stored, it was refused: 0x110.")

    monkeypatch.setattr(Remote, "give_back", refused)
    batch = asked(layout, dicomweb, give_back=True)
    assert len(batch.failed) == len(STORED) and "refused: 0x110" in next(iter(batch.failed.values()))
    assert not made(layout.root / "out") and not list((layout.root / "out").rglob(".*"))
