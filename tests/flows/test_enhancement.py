from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from torch import nn

from components.adapters import registry, tracking, training_runs
from components.enhance import HALF_MADE
from components.handover import Layout, StepError, read_record
from components.learning.inference.generator import Generator
from components.monitoring import enhancement_log, image_statistics
from flows import enhancement
from flows.enhancement import REASON
from tests.drawing import dicom, shapes, write_dicom

BICUBIC = Generator(nn.Upsample(scale_factor=2, mode="bicubic"), 2, "sr-generator", "3", (0.1, 99.9))
SECRETS = ("Roe", "Richard", "MRN-77", "20240203", "ACC778899", "ward-7")


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project whose champion is bicubic interpolation, an inbox in it."""
    (tmp_path / "inbox").mkdir()
    monkeypatch.setattr(registry, "load_generator", lambda _: BICUBIC)
    return Layout(tmp_path)


def draw(path: Path, **attributes: object) -> Path:
    stored = (shapes(40, 56) * 3000).astype(np.uint16)
    return write_dicom(path, dicom(stored, "CT", PatientName="Roe^Richard", PatientID="MRN-77", **attributes))


def run(layout: Layout, quiet_s: float = 0.0) -> enhancement.Batch:
    return enhancement.run(layout, layout.root / "inbox", layout.root / "outbox", lambda _: None, quiet_s)


def test_each_image_is_enhanced_once_at_the_same_place(layout: Layout) -> None:
    draw(layout.root / "inbox" / "a.dcm")
    draw(layout.root / "inbox" / "ward-7" / "b.dcm")
    Image.fromarray((shapes(40, 40) * 255).astype(np.uint8)).save(layout.root / "inbox" / "c.png")
    (layout.root / "inbox" / ".half-copied").write_bytes(b"x")
    first = run(layout)
    assert first.made == ["a.dcm", "c.png", "ward-7/b.dcm"] and not first.failed
    assert dcmread(layout.root / "outbox" / "ward-7" / "b.dcm").Rows == 80
    again = run(layout)
    assert again.summary() == "0 enhanced, 0 failed, 3 done before"


def test_the_records_tell_nothing_of_whose_images_they_were(layout: Layout) -> None:
    draw(layout.root / "inbox" / "ward-7" / "Roe.dcm")
    Image.fromarray((shapes(40, 40) * 255).astype(np.uint8)).save(layout.root / "inbox" / "MRN-77.png")
    run(layout)
    text = enhancement_log.records_path(layout).read_text()
    assert not [secret for secret in SECRETS if secret in text]
    picture, scan = enhancement_log.records(layout, 1)
    assert (scan.modality, scan.rows, scan.columns, scan.model, scan.version) == ("CT", 40, 56, "sr-generator", "3")
    assert scan.seconds >= 0 and set(scan.statistics) == set(image_statistics.STATISTICS)
    assert (picture.modality, picture.statistics) == ("OT", {})


def test_what_cannot_be_enhanced_leaves_its_reason_and_keeps_nothing_back(layout: Layout) -> None:
    whole = draw(layout.root / "inbox" / "a.dcm").read_bytes()
    broken = layout.root / "inbox" / "broken.dcm"
    broken.write_bytes(whole[: len(whole) // 2])
    draw(layout.root / "inbox" / "z.dcm")
    batch = run(layout)
    assert batch.made == ["a.dcm", "z.dcm"] and set(batch.failed) == {"broken.dcm"}
    reason = layout.root / "outbox" / f"broken.dcm{REASON}"
    assert reason.read_text().strip() == batch.failed["broken.dcm"] and "broken.dcm" in batch.failed["broken.dcm"]
    assert run(layout).summary() == "0 enhanced, 0 failed, 3 done before"
    broken.write_bytes(whole)
    assert run(layout).made == ["broken.dcm"] and not reason.exists()


def test_a_strange_image_does_not_keep_out_the_others_and_a_full_disk_is_not_blamed_on_one(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.enhance import enhance_file

    draw(layout.root / "inbox" / "a.dcm")
    draw(layout.root / "inbox" / "b.dcm")
    error: Exception = KeyError("strange")

    def fail_on_a(source: Path, *rest: object, **named: object) -> object:
        if source.name == "a.dcm":
            raise error
        return enhance_file(source, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(enhancement, "enhance_file", fail_on_a)
    batch = run(layout)
    assert batch.made == ["b.dcm"] and batch.failed == {"a.dcm": "a.dcm: KeyError: 'strange'"}
    draw(layout.root / "inbox" / "a.dcm")
    error = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        run(layout)
    assert "No space" not in (layout.root / "outbox" / f"a.dcm{REASON}").read_text()


def test_an_older_file_under_a_name_that_was_used_before_is_a_new_image(layout: Layout, tmp_path: Path) -> None:
    draw(layout.root / "inbox" / "IM1.dcm")
    run(layout)
    last_year = draw(tmp_path / "elsewhere" / "IM1.dcm", InstanceNumber=2)
    os.utime(last_year, (1.7e9, 1.7e9))
    shutil.copy2(last_year, layout.root / "inbox" / "IM1.dcm")
    assert run(layout).made == ["IM1.dcm"]
    assert dcmread(layout.root / "outbox" / "IM1.dcm").InstanceNumber == 2


def test_a_file_that_may_still_be_arriving_waits(layout: Layout) -> None:
    draw(layout.root / "inbox" / "a.dcm")
    batch = run(layout, quiet_s=3600)
    assert batch.summary() == "0 enhanced, 0 failed, 0 done before, 1 still arriving"
    assert not list((layout.root / "outbox").iterdir()) and not enhancement_log.records_path(layout).exists()


def test_nobody_else_fills_the_outbox_and_what_a_kill_left_half_made_goes(layout: Layout) -> None:
    draw(layout.root / "inbox" / "a.dcm")
    left = layout.root / "outbox" / "deep" / f"{HALF_MADE}abcdefgh"
    left.mkdir(parents=True)
    (left / "a.dcm").write_bytes(b"half")
    with enhancement.claimed(layout.root / "outbox"):
        assert not left.exists()
        with pytest.raises(StepError, match="outbox: expected nobody at work on it, another run is"):
            run(layout)
    assert run(layout).made == ["a.dcm"]


def test_an_outbox_inside_the_inbox_is_not_enhanced_again(layout: Layout) -> None:
    draw(layout.root / "inbox" / "a.dcm")
    inbox = layout.root / "inbox"
    for expected in (["a.dcm"], []):
        batch = enhancement.run(layout, inbox, inbox / "sharp", lambda _: None, quiet_s=0)
        assert batch.made == expected


def test_what_is_too_small_for_statistics_is_made_and_recorded_all_the_same(layout: Layout) -> None:
    row = (shapes(40, 56)[20:21] * 3000).astype(np.uint16)
    write_dicom(layout.root / "inbox" / "row.dcm", dicom(row, "CT"))
    assert run(layout).made == ["row.dcm"]
    assert [path.name for path in (layout.root / "outbox").iterdir()] == ["row.dcm"]
    assert [one.statistics for one in enhancement_log.records(layout, 1)] == [{}]


def test_a_name_that_is_not_utf_8_is_a_name(layout: Layout) -> None:
    inbox, name = layout.root / "inbox", os.fsdecode(b"M\xfcller.dcm")
    (inbox / name).write_bytes(b"x")
    draw(inbox / "z.dcm")
    batch = run(layout)
    assert batch.made == ["z.dcm"] and list(batch.failed) == [name]
    assert "M\\udcfcller.dcm" in (layout.root / "outbox" / f"{name}{REASON}").read_text()
    draw(inbox / name)
    assert run(layout).made == [name] and (layout.root / "outbox" / name).is_file()


def test_a_missing_inbox_and_a_missing_champion_are_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="inbox: expected a folder of images"):
        run(Layout(tmp_path))
    draw(tmp_path / "inbox" / "a.dcm")
    layout = Layout(tmp_path)
    tracking.initialise(layout)
    with pytest.raises(StepError, match="expected a promoted model"):
        run(layout)


def test_the_champion_of_the_registry_does_it(project: Layout) -> None:
    record = training_runs.restore(project, read_record(project.model("srcnn") / "run.json"))
    version = registry.register(project, "sr-generator", record, {})
    registry.point(project, version, "champion")
    draw(project.root / "inbox" / "a.dcm")
    assert run(project).made == ["a.dcm"]
    (seen,) = enhancement_log.records(project, 1)
    assert (seen.model, seen.version) == ("sr-generator", "1")
    assert json.loads(enhancement_log.records_path(project).read_text()) == asdict(seen)
