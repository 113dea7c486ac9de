from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from components.serving import associations
from components.serving.delivery import FAILURES, Delivery
from components.serving.spool import MADE, QUARANTINE, REASON, SENT, STORED, Spool
from tests.drawing import dicom, shapes, write_dicom
from tests.services import free_port
from tests.serving.nodes import archive, committing, settings

pytestmark = pytest.mark.service


def drawn(number: int = 0, modality: str = "CT") -> FileDataset:
    return dicom((shapes(24, 24, seed=number) * 3000).astype(np.uint16), modality)


def with_made(spool: Spool, folder: Path, image: FileDataset) -> str:
    source = write_dicom(folder / f"{image.SOPInstanceUID}.dcm", image)
    key, _ = spool.take(source, "archive", "SENDER")
    write_dicom(spool.folder("waiting", key) / "derived.dcm", image)
    spool.made(key)
    return key


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


class Clock:
    """Stands still until it is told."""

    now = 1.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What tells pauses the time."""
    still = Clock()
    monkeypatch.setattr(associations, "time", still)
    return still


def delivery(spool: Spool, port: int, **node: Any) -> Delivery:
    found = settings(port, **node)
    return Delivery(found.node, spool, found.retry_s)


def test_everything_that_is_made_arrives_once_as_it_was_made(spool: Spool, tmp_path: Path) -> None:
    images = [drawn(number, ("CT", "MR")[number % 2]) for number in range(4)]
    keys = [with_made(spool, tmp_path, image) for image in images]
    with archive() as there:
        sending = delivery(spool, there.port)
        assert (sending.deliver(), sending.deliver()) == (4, 0)
    assert {number: len(found) for number, found in there.taken.items()} == {
        image.SOPInstanceUID: 1 for image in images
    }
    assert all(there.taken[image.SOPInstanceUID][0] == image for image in images)
    assert all(spool.state_of(key) == SENT for key in keys)


def test_what_a_destination_stored_that_commits_is_held(spool: Spool, tmp_path: Path) -> None:
    key = with_made(spool, tmp_path, drawn())
    with archive() as there:
        assert delivery(spool, there.port, destinations=committing(there.port)).deliver() == 1
    assert len(there.taken) == 1 and (spool.folder(STORED, key) / "derived.dcm").is_file()


def test_a_destination_that_is_away_is_tried_again_less_and_less_often(
    spool: Spool, tmp_path: Path, clock: Clock
) -> None:
    port = free_port()
    key = with_made(spool, tmp_path, drawn())
    sending = delivery(spool, port)
    assert sending.deliver() == 0 and spool.state_of(key) == MADE
    with archive(port) as there:
        assert sending.deliver() == 0, "it rests"
        clock.now += 0.25
        assert sending.deliver() == 1
    assert len(there.taken) == 1
    with_made(spool, tmp_path, drawn(1))
    pauses = []
    for _ in range(3):
        sending.deliver()
        pause, _ = sending._pauses._pauses["archive"]
        pauses.append(pause)
        sending._pauses._pauses["archive"] = pause, 0.0
    assert pauses == pytest.approx([0.2, 0.4, 0.8])


def test_a_destination_without_room_is_waited_for(spool: Spool, tmp_path: Path, clock: Clock) -> None:
    key = with_made(spool, tmp_path, drawn())
    with archive(status=0xA700) as there:
        sending = delivery(spool, there.port)
        assert sending.deliver() == 0 and spool.state_of(key) == MADE
        there.status = 0x0000
        clock.now += 0.25
        assert sending.deliver() == 1


@pytest.mark.parametrize("status", [0xA900, 0xC001, 0x0122])
def test_an_image_that_is_refused_for_good_is_set_aside_and_keeps_back_no_other(
    spool: Spool, tmp_path: Path, status: int
) -> None:
    refused = with_made(spool, tmp_path, drawn())
    with archive(status=status) as there:
        assert delivery(spool, there.port).deliver() == 0
    reason = (spool.folder(QUARANTINE, refused) / REASON).read_text()
    assert reason.startswith(f"archive refuses it, status 0x{status:04X}")
    assert (spool.folder(QUARANTINE, refused) / "derived.dcm").is_file()


@pytest.mark.parametrize("status", [0x0110, 0x0124, 0x0213])
def test_an_image_that_cannot_be_stored_now_is_tried_again_and_keeps_back_no_other(
    spool: Spool, tmp_path: Path, clock: Clock, status: int
) -> None:
    key = with_made(spool, tmp_path, drawn())
    with archive(status=status) as there:
        sending = delivery(spool, there.port)
        assert sending.deliver() == 0 and spool.state_of(key) == MADE
        there.status = 0x0000
        other = with_made(spool, tmp_path, drawn(1))
        assert sending.deliver() == 1 and (spool.state_of(other), spool.state_of(key)) == (SENT, MADE)
        clock.now += 0.25
        assert sending.deliver() == 1 and spool.state_of(key) == SENT


def test_an_image_that_can_never_be_stored_is_set_aside_in_the_end(spool: Spool, tmp_path: Path) -> None:
    key = with_made(spool, tmp_path, drawn())
    with archive(status=0x0110) as there:
        sending = delivery(spool, there.port)
        for _ in range(FAILURES):
            assert spool.state_of(key) == MADE
            assert sending.deliver() == 0
            sending._images.end(key)
    assert "archive refuses it, status 0x0110" in (spool.folder(QUARANTINE, key) / REASON).read_text()


def test_a_kind_of_image_that_the_destination_does_not_take_is_set_aside(spool: Spool, tmp_path: Path) -> None:
    magnetic, computed = with_made(spool, tmp_path, drawn(0, "MR")), with_made(spool, tmp_path, drawn(1))
    with archive(kinds=[CTImageStorage]) as there:
        assert delivery(spool, there.port).deliver() == 1
    assert spool.state_of(computed) == SENT
    assert MRImageStorage.name in (spool.folder(QUARANTINE, magnetic) / REASON).read_text()


def test_a_destination_that_takes_none_of_it_does_not_hang_the_others(spool: Spool, tmp_path: Path) -> None:
    key = with_made(spool, tmp_path, drawn())
    with archive(kinds=[SecondaryCaptureImageStorage]) as there:
        assert delivery(spool, there.port).deliver() == 0
    assert spool.state_of(key) == QUARANTINE
    assert "takes none" in (spool.folder(QUARANTINE, key) / REASON).read_text()
