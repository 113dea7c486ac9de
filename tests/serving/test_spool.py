from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.handover import StepError
from components.serving import spool as module
from components.serving.spool import (
    DETAILS,
    INCOMING,
    JOB,
    KEPT,
    MADE,
    QUARANTINE,
    REASON,
    SENT,
    STORED,
    WAITING,
    DiskFull,
    Spool,
)

pytestmark = pytest.mark.service


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def image(tmp_path: Path, content: bytes = b"image") -> Path:
    path = tmp_path / "sent.dcm"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return path


def test_an_image_goes_from_folder_to_folder_and_leaves_its_record(spool: Spool, tmp_path: Path) -> None:
    key, new = spool.take(image(tmp_path), "archive", "SENDER")
    assert new and spool.state_of(key) == WAITING
    (job,) = spool.listed(WAITING)
    assert (job.key, job.destination, job.calling) == (key, "archive", "SENDER")
    (spool.folder(WAITING, key) / "derived.dcm").write_bytes(b"derived")
    spool.made(key)
    assert spool.state_of(key) == MADE and (spool.folder(MADE, key) / "derived.dcm").read_bytes() == b"derived"
    spool.sent(key, MADE)
    assert spool.counts() == {WAITING: 0, MADE: 0, STORED: 0, SENT: 1, KEPT: 0, QUARANTINE: 0}
    assert sorted(path.name for path in spool.folder(SENT, key).iterdir()) == [DETAILS, JOB]


def test_what_comes_twice_at_once_is_done_once_however_fast_the_first_was(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = image(tmp_path)
    other = tmp_path / "again.dcm"
    shutil.copyfile(sent, other)
    real, keys = module._link_or_copy, []

    def slow(source: Path, destination: Path) -> None:
        real(source, destination)
        if source == other:  # while this one is on its way, the first comes, is made and is sent
            keys.append(spool.take(sent, "archive", "SENDER")[0])
            spool.made(keys[0])
            spool.sent(keys[0], MADE)

    monkeypatch.setattr(module, "_link_or_copy", slow)
    assert spool.take(other, "archive", "SENDER") == (keys[0], False)
    assert spool.counts() == {WAITING: 0, MADE: 0, STORED: 0, SENT: 1, KEPT: 0, QUARANTINE: 0}
    assert not list(spool.incoming.iterdir())


def test_what_goes_while_it_is_swept_stops_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("arrives", "is-dropped"):
        (spool.incoming / name).mkdir()
        (spool.incoming / name / "image.dcm").write_bytes(b"image")
    real = module._last_change

    def after_it_went(path: Path) -> float:
        if path.name == "arrives":
            shutil.rmtree(path)
        last = real(path)
        if path.name == "is-dropped":
            shutil.rmtree(path)
        return last

    monkeypatch.setattr(module, "_last_change", after_it_went)
    spool.sweep(-1)
    assert not list(spool.incoming.iterdir())


def test_what_is_stored_elsewhere_stays_whole_until_it_is_kept_there(spool: Spool, tmp_path: Path) -> None:
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    (spool.folder(WAITING, key) / "derived.dcm").write_bytes(b"derived")
    spool.made(key)
    spool.stored(key)
    spool.write(STORED, key, "note.json", "first")
    spool.write(STORED, key, "note.json", "second")
    spool.unstored(key)
    assert spool.state_of(key) == MADE and (spool.folder(MADE, key) / "note.json").read_text() == "second"
    spool.stored(key)
    assert spool.forget(0) == 0 and (spool.folder(STORED, key) / "derived.dcm").is_file()
    assert spool.take(image(tmp_path), "archive", "SENDER") == (key, False)
    spool.sent(key, STORED)
    assert sorted(path.name for path in spool.folder(SENT, key).iterdir()) == [DETAILS, JOB]


def test_an_image_that_is_moved_while_it_is_counted_counts_once(spool: Spool, tmp_path: Path) -> None:
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    spool.made(key)

    def move() -> None:
        for _ in range(200):
            spool.stored(key)
            spool.unstored(key)

    with ThreadPoolExecutor(1) as beside:
        moving = beside.submit(move)
        totals = {sum(spool.counts().values())}
        while not moving.done():
            totals.add(sum(spool.counts().values()))
        moving.result()
    assert totals == {1}


def test_what_a_kill_left_beside_an_image_goes(spool: Spool, tmp_path: Path) -> None:
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    left = spool.folder(WAITING, key) / ".enhance-abcdefgh"
    left.mkdir()
    (left / "pixels").write_bytes(b"half")
    with spool.opened():
        assert not left.exists() and (spool.folder(WAITING, key) / "image.dcm").is_file()
    left.mkdir()  # and where it was never opened again
    spool.made(key)
    spool.sent(key, MADE)
    assert sorted(path.name for path in spool.folder(SENT, key).iterdir()) == [DETAILS, JOB]


def test_what_is_taken_stays_when_its_source_goes(spool: Spool, tmp_path: Path) -> None:
    source = image(tmp_path)
    key, _ = spool.take(source, "archive", "SENDER")
    source.unlink()
    assert (spool.folder(WAITING, key) / "image.dcm").read_bytes() == b"image"


def test_the_same_image_is_taken_once_wherever_it_is_by_now_and_once_a_destination(
    spool: Spool, tmp_path: Path
) -> None:
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    assert spool.take(image(tmp_path), "archive", "ANOTHER") == (key, False)
    spool.made(key)
    assert spool.take(image(tmp_path), "archive", "SENDER") == (key, False)
    spool.sent(key, MADE)
    assert spool.take(image(tmp_path), "archive", "SENDER") == (key, False)
    other, new = spool.take(image(tmp_path), "reading room", "SENDER")
    assert new and other != key
    assert spool.take(image(tmp_path, b"another"), "archive", "SENDER")[1]


def test_many_at_once_are_all_there_and_the_same_one_once(spool: Spool, tmp_path: Path) -> None:
    paths = []
    for number in range(30):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(b"image %d" % (number // 3))
    with ThreadPoolExecutor(8) as senders:
        taken = list(senders.map(lambda path: spool.take(path, "archive", "SENDER"), paths))
    assert len({key for key, _ in taken}) == 10 == sum(new for _, new in taken)
    assert len(spool.listed(WAITING)) == 10 and not list(spool.incoming.iterdir())


def test_names_tell_nothing_and_the_first_come_is_the_first(spool: Spool, tmp_path: Path) -> None:
    keys = [spool.take(image(tmp_path, content), "archive", "SENDER")[0] for content in (b"z", b"a", b"k")]
    assert [job.key for job in spool.listed(WAITING)] == keys
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def test_what_had_not_arrived_whole_is_gone_when_it_is_opened_again(spool: Spool, tmp_path: Path) -> None:
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    (spool.incoming / "half.dcm").write_bytes(b"ha")
    (spool.incoming / "folder").mkdir()
    (spool.incoming / "folder" / "image.dcm").write_bytes(b"whole, and never acknowledged")
    with spool.opened():
        assert not list(spool.incoming.iterdir()) and spool.state_of(key) == WAITING


def test_one_service_at_a_time(spool: Spool, tmp_path: Path) -> None:
    with (
        spool.opened(),
        pytest.raises(StepError, match="expected nobody at work on it"),
        Spool(tmp_path / "spool").opened(),
    ):
        pass
    with Spool(tmp_path / "spool").opened():
        pass


def test_where_there_is_no_room_nothing_is_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", keep_free_bytes=2**60)
    with pytest.raises(DiskFull, match="bytes free, found"):
        spool.take(image(tmp_path), "archive", "SENDER")
    assert not any(spool.counts().values()) and not list((tmp_path / "spool" / INCOMING).iterdir())


def test_what_is_set_aside_keeps_image_and_reason(spool: Spool, tmp_path: Path) -> None:
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    spool.set_aside(key, WAITING, "truncated")
    folder = spool.folder(QUARANTINE, key)
    assert (folder / REASON).read_text() == "truncated\n" and (folder / "image.dcm").read_bytes() == b"image"


def test_tries_are_counted_over_the_end_of_the_process(spool: Spool, tmp_path: Path) -> None:
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    again = Spool(tmp_path / "spool")
    assert [spool.tried(key), again.tried(key), spool.tried(key)] == [0, 1, 2]
    again.not_tried(key)
    assert spool.tried(key) == 0


def test_what_was_sent_long_ago_is_forgotten(spool: Spool, tmp_path: Path) -> None:
    old, _ = spool.take(image(tmp_path), "archive", "SENDER")
    new, _ = spool.take(image(tmp_path, b"new"), "archive", "SENDER")
    for key in (old, new):
        spool.made(key)
        spool.sent(key, MADE)
    job = spool.folder(SENT, old) / JOB
    job.write_text(json.dumps(json.loads(job.read_text()) | {"received_at": time.time() - 7200}))
    assert spool.forget(3600) == 1
    assert (spool.state_of(old), spool.state_of(new)) == ("", SENT)


def test_what_stopped_arriving_is_swept_out_and_what_still_arrives_stays(spool: Spool, tmp_path: Path) -> None:
    for name in ("broken-off", "arriving"):
        (spool.incoming / name).write_bytes(b"half")
    os.utime(spool.incoming / "broken-off", (time.time() - 700,) * 2)
    key, _ = spool.take(image(tmp_path), "archive", "SENDER")
    assert spool.sweep(600) == 1
    assert [path.name for path in spool.incoming.iterdir()] == ["arriving"] and spool.state_of(key) == WAITING


def _take_until_killed(root: Path, folder: Path, told: multiprocessing.Queue[str]) -> None:
    spool = Spool(root)
    for number in range(10_000):
        path = folder / f"{number}.dcm"
        path.write_bytes(os.urandom(4096))
        told.put(spool.take(path, "archive", "SENDER")[0])


@pytest.mark.parametrize("after", [3, 11, 20])
def test_what_was_acknowledged_before_a_kill_is_there_whole(tmp_path: Path, after: int) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=_take_until_killed, args=(tmp_path / "spool", tmp_path, told))
    process.start()
    keys = [told.get(timeout=60) for _ in range(after)]
    process.kill()
    process.join()
    spool = Spool(tmp_path / "spool")
    with spool.opened():
        held = spool.listed(WAITING)
    assert set(keys) <= {job.key for job in held}
    assert all((spool.folder(WAITING, job.key) / "image.dcm").stat().st_size == 4096 for job in held)


def test_what_has_no_destination_is_kept_with_how_it_was_made_until_it_is_old(spool: Spool, tmp_path: Path) -> None:
    key, _ = spool.take(image(tmp_path), "", "http:ward", ".png")
    ((name, job),) = [spool.job(key)]
    assert (name, job.image, job.derived) == (WAITING, "image.png", "derived.png")
    (spool.folder(WAITING, key) / job.derived).write_bytes(b"derived")
    spool.made(key, {"version": "3"})
    assert spool.state_of(key) == KEPT and spool.details(KEPT, key) == {"version": "3"}
    assert (spool.folder(KEPT, key) / job.derived).read_bytes() == b"derived"
    assert spool.forget(3600) == 0 and spool.forget(0) == 1
    assert spool.job(key) is None and not list(spool.incoming.iterdir())


def test_the_same_image_of_two_senders_who_fetch_it_is_two(spool: Spool, tmp_path: Path) -> None:
    keys = [spool.take(image(tmp_path), "", sender)[0] for sender in ("http:ward", "http:lab", "http:ward")]
    assert keys[0] == keys[2] != keys[1]


def test_what_was_set_aside_is_forgotten_only_where_who_sent_it_was_told(spool: Spool, tmp_path: Path) -> None:
    told, untold = spool.take(image(tmp_path), "", "http:ward")[0], spool.take(image(tmp_path), "archive", "SENDER")[0]
    for key in (told, untold):
        spool.set_aside(key, WAITING, "truncated")
    assert spool.forget(0) == 1
    assert (spool.state_of(told), spool.state_of(untold)) == ("", QUARANTINE)
