"""The whole service: images in, sharpened images out, whatever happens between."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from components.enhance import EnhancedImage, enhance_file
from components.handover import Layout, StepError
from components.monitoring import enhancement_log
from components.serving import service as module
from components.serving import workshop
from components.serving.champion import Champion
from components.serving.node import SUCCESS
from components.serving.service import Ports, Service
from components.serving.settings import Serving
from components.serving.spool import KEPT, MADE, QUARANTINE, REASON, SENT, STORED, WAITING, Spool
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import PROJECT, eventually
from tests.services import free_port
from tests.serving.nodes import BICUBIC, Archive, archive, committing, send, settings

pytestmark = pytest.mark.service

SECRETS = ("Doe", "Jane", "MRN-0012345", "ACC778899", "House")


@dataclass
class Running:
    service: Service
    port: int
    web: int
    stop: threading.Event


@contextmanager
def running(
    root: Path, archive_port: int, champion: Champion | None = None, known: Serving | None = None
) -> Iterator[Running]:
    service = Service(Layout(root), known or settings(archive_port), champion or Champion(lambda: BICUBIC))
    stop, heard = threading.Event(), list[Ports]()
    with ThreadPoolExecutor(1) as beside:
        ended = beside.submit(service.run, stop, heard.append)
        assert eventually(lambda: bool(heard) or ended.done())
        try:
            if heard:
                yield Running(service, heard[0].dicom, heard[0].http, stop)
        finally:
            stop.set()
            ended.result(60)


def draw(folder: Path, count: int, side: int = 40) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_dicom(folder / f"{number}.dcm", dicom((shapes(side, side + 8, seed=number) * 3000).astype(np.uint16)))
        for number in range(count)
    ]


def derived_from(there: Archive) -> list[str]:
    """The source of each image that arrived."""
    return [
        image.SourceImageSequence[0].ReferencedSOPInstanceUID for images in there.taken.values() for image in images
    ]


def test_what_is_sent_arrives_sharpened_once_and_described_as_derived(tmp_path: Path) -> None:
    paths = draw(tmp_path / "sent", 5)
    with archive() as there, running(tmp_path, there.port) as service:
        assert send(service.port, paths, CTImageStorage) == [SUCCESS] * 5
        assert eventually(lambda: service.service.spool.counts()[SENT] == 5)
    sources = {dcmread(path).SOPInstanceUID: dcmread(path) for path in paths}
    assert sorted(derived_from(there)) == sorted(sources)
    for (image,) in there.taken.values():
        source = sources[image.SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert (image.Rows, image.Columns) == (2 * source.Rows, 2 * source.Columns)
        assert image.PatientID == source.PatientID and image.StudyInstanceUID == source.StudyInstanceUID
        assert list(image.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        extent = [float(image.PixelSpacing[0]) * image.Rows, float(image.PixelSpacing[1]) * image.Columns]
        assert extent == pytest.approx([0.5 * source.Rows, 0.5 * source.Columns])
    records = enhancement_log.records(Layout(tmp_path), 1)
    assert len(records) == 5 and {record.modality for record in records} == {"CT"}


def test_no_log_line_and_no_name_on_disk_tells_whose_image_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = draw(tmp_path / "sent", 2)
    broken = dcmread(good[1])
    broken.PixelData = broken.PixelData[:100]
    with caplog.at_level(logging.INFO, "components"), archive() as there, running(tmp_path, there.port) as service:
        assert send(service.port, [good[0], broken], CTImageStorage) == [SUCCESS] * 2
        assert eventually(
            lambda: service.service.spool.counts() == {WAITING: 0, MADE: 0, STORED: 0, SENT: 1, KEPT: 0, QUARANTINE: 1}
        )
    told = [record.getMessage() for record in caplog.records if record.name.startswith("components")]
    assert told and not [line for line in told for secret in SECRETS if secret in line]
    kept = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert not [path for path in kept for secret in SECRETS if secret in str(path)]
    small = [path for path in (*kept, enhancement_log.records_path(Layout(tmp_path))) if path.suffix != ".dcm"]
    assert not [path for path in small for secret in SECRETS if secret in path.read_text()]


def test_what_cannot_be_sharpened_is_set_aside_with_its_reason_and_the_others_arrive(tmp_path: Path) -> None:
    good = [dcmread(path) for path in draw(tmp_path / "sent", 6)]
    good[0].PixelData = good[0].PixelData[:100]
    good[1].Rows = 60000
    good[2].SOPInstanceUID = "../../etc/passwd"
    good[3].NumberOfFrames = 10_000
    good[4].BitsAllocated = 7
    with archive() as there, running(tmp_path, there.port) as service:
        spool = service.service.spool
        send(service.port, good, CTImageStorage)
        assert eventually(lambda: spool.counts()[SENT] + spool.counts()[QUARANTINE] >= 5)
        assert eventually(lambda: not spool.counts()[WAITING] + spool.counts()[MADE])
    assert derived_from(there) == [good[5].SOPInstanceUID]
    reasons = [(spool.folder(QUARANTINE, job.key) / REASON).read_text() for job in spool.listed(QUARANTINE)]
    assert len(reasons) >= 4 and all(len(reason) > 20 for reason in reasons), reasons
    assert not list(tmp_path.parent.rglob("passwd*"))


def test_a_destination_that_is_away_gets_everything_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with running(tmp_path, port) as service:
        assert send(service.port, draw(tmp_path / "sent", 3), CTImageStorage) == [SUCCESS] * 3
        assert eventually(lambda: service.service.spool.counts()[MADE] == 3)
        assert eventually(lambda: caplog.text.count("again in") > 1)
        with archive(port) as there:
            assert eventually(lambda: service.service.spool.counts()[SENT] == 3)
    assert len(there.taken) == 3 == len(derived_from(there))


def test_a_full_disk_is_waited_for_and_is_not_blamed_on_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = threading.Event()
    full.set()
    real, tries = workshop.enhance_file, []

    def enhance_file(*arguments: object, **named: object) -> object:
        if full.is_set():
            tries.append(arguments)
            raise OSError(28, "No space left on device")
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(workshop, "enhance_file", enhance_file)
    monkeypatch.setattr(module, "REST_S", 0.05)
    with archive() as there, running(tmp_path, there.port) as service:
        assert send(service.port, draw(tmp_path / "sent", 1), CTImageStorage) == [SUCCESS]
        assert eventually(lambda: len(tries) > 9)
        assert service.service.spool.counts() == {WAITING: 1, MADE: 0, STORED: 0, SENT: 0, KEPT: 0, QUARANTINE: 0}
        full.clear()
        assert eventually(lambda: service.service.spool.counts()[SENT] == 1)


def test_a_new_champion_serves_without_an_image_being_dropped_and_each_names_its_version(tmp_path: Path) -> None:
    found = [BICUBIC]
    paths = draw(tmp_path / "sent", 12)
    with archive() as there, running(tmp_path, there.port, Champion(lambda: found[0])) as service:
        assert send(service.port, paths[:4], CTImageStorage) == [SUCCESS] * 4
        assert eventually(lambda: service.service.spool.counts()[SENT] == 4)
        found[0] = replace(BICUBIC, version="4")
        assert eventually(lambda: service.service._champion.generator.version == "4")
        assert send(service.port, paths[4:], CTImageStorage) == [SUCCESS] * 8
        assert eventually(lambda: service.service.spool.counts()[SENT] == 12)
    by_source = {
        image.SourceImageSequence[0].ReferencedSOPInstanceUID: image.ContributingEquipmentSequence[-1]
        for (image,) in there.taken.values()
    }
    versions = [str(by_source[dcmread(path).SOPInstanceUID].SoftwareVersions) for path in paths]
    assert ["3" in version for version in versions] == [True] * 4 + [False] * 8, versions


def test_an_image_that_there_is_no_memory_for_is_tried_again_then_set_aside_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(source: Path, *others: Any, **more: Any) -> EnhancedImage:
        if dcmread(source).Rows == 64:
            raise MemoryError
        return enhance_file(source, *others, **more)

    monkeypatch.setattr(workshop, "enhance_file", run_out)
    monkeypatch.setattr(module, "REST_S", 0.01)
    images = [*draw(tmp_path / "large", 1, side=64), *draw(tmp_path / "small", 2)]
    with archive() as there, running(tmp_path, there.port) as service:
        assert send(service.port, images, CTImageStorage) == [SUCCESS] * 3
        spool = service.service.spool
        assert eventually(lambda: spool.counts()[SENT] == 2 and spool.counts()[QUARANTINE] == 1)
    (job,) = spool.listed(QUARANTINE)
    reason = (spool.folder(QUARANTINE, job.key) / REASON).read_text()
    assert "5 times the service ended, or had no memory left" in reason


@pytest.mark.parametrize("part", ["workshop.make_next", "_delivery.deliver", "_commitments.ask"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), AssertionError("of Jane Doe")])
def test_a_part_that_fails_rests_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str, error: Exception
) -> None:
    monkeypatch.setattr(module, "REST_S", 0.05)
    with archive() as there:
        known = settings(there.port, destinations=committing(there.port))
        with running(tmp_path, there.port, known=known) as service:
            owner, name = attrgetter(part.rpartition(".")[0])(service.service), part.rpartition(".")[2]
            failed = threading.Event()

            def fail(*_: object) -> bool:
                failed.set()
                raise error

            with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
                broken.setattr(owner, name, fail)
                assert send(service.port, draw(tmp_path / "sent", 1), CTImageStorage) == [SUCCESS]
                assert eventually(failed.is_set) and eventually(lambda: "again in" in caplog.text)
            assert eventually(lambda: service.service.spool.counts()[SENT] == 1)
    assert ("No space left" in caplog.text) == isinstance(error, OSError) and "Jane Doe" not in caplog.text


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with archive() as there:
        found = settings(1, port=there.port)
        with pytest.raises(StepError, match=f"127.0.0.1:{there.port}: cannot be listened at"):
            Service(Layout(tmp_path), found, Champion(lambda: BICUBIC)).run(threading.Event(), lambda _: None)


SERVE = """
import sys, threading
from pathlib import Path
from components.handover import Layout
from components.serving.champion import Champion
from components.serving.service import Ports, Service
from tests.serving.nodes import BICUBIC, committing, settings

known = settings(int(sys.argv[2]), port=int(sys.argv[3]), destinations=committing(int(sys.argv[2])))
service = Service(Layout(Path(sys.argv[1])), known, Champion(lambda: BICUBIC))
service.run(threading.Event(), lambda ports: print(ports, flush=True))
"""


@contextmanager
def serving(root: Path, archive_port: int, port: int) -> Iterator[subprocess.Popen[str]]:
    """In a process of its own, which is gone when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(root), str(archive_port), str(port)],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_killed_at_any_moment_with_a_hundred_images_in_flight_each_arrives_exactly_once(tmp_path: Path) -> None:
    paths = draw(tmp_path / "sent", 100)
    unsent, port = list(paths), free_port()
    random = np.random.default_rng(7)
    with archive() as there:
        for _ in range(6):
            with serving(tmp_path, there.port, port) as process:
                killer = threading.Timer(random.uniform(0.5, 3), process.kill)
                killer.start()
                if unsent:
                    answers = send(port, unsent, CTImageStorage)
                    unsent = [path for path, answer in zip(unsent, answers, strict=True) if answer != SUCCESS]
                killer.join()
        with serving(tmp_path, there.port, port):
            assert send(port, unsent, CTImageStorage) == [SUCCESS] * len(unsent)
            spool = Spool(tmp_path / "spool")
            assert eventually(lambda: spool.counts()[SENT] == 100, 120), spool.counts()
    assert sorted(set(derived_from(there))) == sorted(dcmread(path).SOPInstanceUID for path in paths)
    assert {item.ReferencedSOPInstanceUID for one in there.asked for item in one.ReferencedSOPSequence} == {
        *there.taken
    }
    assert len(there.taken) == 100, "one instance each; one that was sent twice is the same instance"
    assert spool.counts() == {WAITING: 0, MADE: 0, STORED: 0, SENT: 100, KEPT: 0, QUARANTINE: 0}
