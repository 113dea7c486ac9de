from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian
from torch import Tensor, nn

from components.enhance import EnhancedImage, enhance_file
from components.handover import Layout
from components.serving import workshop as module
from components.serving.champion import Champion
from components.serving.metrics import Metrics
from components.serving.spool import MADE, QUARANTINE, REASON, WAITING, Spool
from components.serving.workshop import TRIES, Workshop
from tests.flows.conftest import PROJECT
from tests.serving.nodes import BICUBIC, LIMITS
from tests.serving.test_service import draw

pytestmark = pytest.mark.service

WORK = """
import os, sys
from pathlib import Path
from pydicom import dcmread
from components.serving import workshop
from tests.serving.test_workshop import opened, work_off

real = workshop.enhance_file

def enhance_file(source, *others, **more):
    if dcmread(source).Rows == 64:
        os._exit(9)
    return real(source, *others, **more)

workshop.enhance_file = enhance_file
work_off(opened(Path(sys.argv[1]))[1])
"""


def opened(root: Path) -> tuple[Spool, Workshop]:
    spool, champion = Spool(root / "spool"), Champion(lambda: BICUBIC)
    return spool, Workshop(Layout(root), spool, champion, LIMITS, Metrics(spool, champion))


def work_off(workshop: Workshop, at_once: int = 2) -> None:
    """Until nothing is left that somebody could begin with."""

    def work() -> None:
        while workshop.make_next():
            pass

    with ThreadPoolExecutor(at_once) as workers:
        for ended in [workers.submit(work) for _ in range(at_once)]:
            ended.result()


def test_each_image_is_made_once_whoever_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Path] = []

    def counted(source: Path, *others: Any, **more: Any) -> EnhancedImage:
        begun.append(source)
        return enhance_file(source, *others, **more)

    monkeypatch.setattr(module, "enhance_file", counted)
    spool, workshop = opened(tmp_path)
    keys = {spool.take(path, "archive", "SENDER")[0] for path in draw(tmp_path / "sent", 24)}
    work_off(workshop, 6)
    assert len(begun) == 24 and {path.parent.name for path in begun} == keys
    assert {job.key for job in spool.listed(MADE)} == keys
    assert not workshop.make_next()


def test_two_are_made_at_once_and_the_longest_waiting_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together, order = threading.Barrier(2, timeout=60), []

    def meet(source: Path, *others: Any, **more: Any) -> EnhancedImage:
        order.append(source.parent.name)
        together.wait()
        return enhance_file(source, *others, **more)

    monkeypatch.setattr(module, "enhance_file", meet)
    spool, workshop = opened(tmp_path)
    keys = [spool.take(path, "archive", "SENDER")[0] for path in draw(tmp_path / "sent", 4)]
    work_off(workshop)
    assert set(order[:2]) == set(keys[:2]) and len(spool.listed(MADE)) == 4


def test_what_may_have_ended_the_process_is_made_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, workshop = opened(tmp_path)
    keys = [spool.take(path, "archive", "SENDER")[0] for path in draw(tmp_path / "sent", 3)]
    spool.tried(keys[1])
    beside: list[set[str]] = []

    def watched(source: Path, *others: Any, **more: Any) -> EnhancedImage:
        if source.parent.name == keys[1]:
            time.sleep(0.3)
            beside.append({key for key in keys if workshop.frames(key) is not None})
            assert not workshop.make_next()
        return enhance_file(source, *others, **more)

    monkeypatch.setattr(module, "enhance_file", watched)
    while spool.listed(WAITING):
        work_off(workshop)
    assert beside == [{keys[1]}]


def test_an_image_that_takes_the_process_with_it_is_set_aside_and_no_other(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path)
    good = {spool.take(path, "archive", "SENDER")[0] for path in draw(tmp_path / "sent", 3)}
    bad, _ = spool.take(draw(tmp_path / "bad", 1, side=64)[0], "archive", "SENDER")
    good |= {spool.take(path, "archive", "SENDER")[0] for path in draw(tmp_path / "more", 6)[3:]}
    ends = []
    while spool.listed(WAITING):
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        done = subprocess.run([sys.executable, "-c", WORK, str(tmp_path)], env=environment, timeout=120, check=False)
        ends.append(done.returncode)
        assert len(ends) < 12
    assert ends.count(9) == TRIES
    assert {job.key for job in spool.listed(MADE)} == good
    assert spool.state_of(bad) == QUARANTINE
    assert f"{TRIES} times the service ended" in (spool.folder(QUARANTINE, bad) / REASON).read_text()


def test_what_the_machine_lacks_is_raised_and_is_not_blamed_on_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    spool, workshop = opened(tmp_path)
    key, _ = spool.take(draw(tmp_path / "sent", 1)[0], "archive", "SENDER")
    monkeypatch.setattr(module, "enhance_file", full)
    for _ in range(TRIES + 1):
        with pytest.raises(OSError, match="No space left"):
            workshop.make_next()
    assert not spool.was_tried(key) and workshop.frames(key) is None
    monkeypatch.undo()
    assert workshop.make_next() and spool.state_of(key) == MADE
    assert dcmread(spool.folder(MADE, key) / "derived.dcm").Rows == 80


def test_whatever_a_file_makes_a_library_raise_the_file_is_set_aside_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_thought_of(source: Path, *others: Any, **more: Any) -> EnhancedImage:
        assert dcmread(source).Rows != 64, "a library's own"
        return enhance_file(source, *others, **more)

    monkeypatch.setattr(module, "enhance_file", never_thought_of)
    spool, workshop = opened(tmp_path)
    bad, _ = spool.take(draw(tmp_path / "bad", 1, side=64)[0], "archive", "SENDER")
    good, _ = spool.take(draw(tmp_path / "good", 1)[0], "archive", "SENDER")
    work_off(workshop)
    assert (spool.state_of(bad), spool.state_of(good)) == (QUARANTINE, MADE)
    assert "AssertionError: a library's own" in (spool.folder(QUARANTINE, bad) / REASON).read_text()


class Hungry(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.empty(2**46)


def test_memory_that_torch_does_not_find_is_not_blamed_on_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, workshop = opened(tmp_path)
    key, _ = spool.take(draw(tmp_path / "sent", 1)[0], "archive", "SENDER")
    with monkeypatch.context() as hungry:
        hungry.setattr(workshop._champion, "_serving", replace(BICUBIC, network=Hungry()))
        with pytest.raises(MemoryError):
            workshop.make_next()
    assert spool.state_of(key) == WAITING
    assert workshop.make_next() and spool.state_of(key) == MADE


def test_a_deflated_image_that_ends_too_early_is_set_aside(tmp_path: Path) -> None:
    image = dcmread(draw(tmp_path, 1)[0])
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(tmp_path / "whole.dcm")
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "whole.dcm").read_bytes()[:-200])
    spool, workshop = opened(tmp_path)
    whole, cut = (spool.take(tmp_path / name, "archive", "SENDER")[0] for name in ("whole.dcm", "cut.dcm"))
    work_off(workshop)
    assert (spool.state_of(whole), spool.state_of(cut)) == (MADE, QUARANTINE)
    assert "broken DICOM" in (spool.folder(QUARANTINE, cut) / REASON).read_text()


def test_an_image_that_waits_can_be_withdrawn_and_is_either_made_or_gone(tmp_path: Path) -> None:
    spool, workshop = opened(tmp_path)
    keys = [spool.take(path, "archive", "SENDER")[0] for path in draw(tmp_path / "sent", 20)]
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(work_off, workshop)
        gone = [key for key in reversed(keys) if workshop.withdraw(key)]
        working.result()
    assert gone and sorted(gone + [job.key for job in spool.listed(MADE)]) == sorted(keys)
    assert not workshop.withdraw(gone[0]) and not list(spool.incoming.iterdir())
