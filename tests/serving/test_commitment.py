from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from components.serving import commitment
from components.serving.commitment import COMMITMENT, FAILURES, Commitments
from components.serving.delivery import Delivery
from components.serving.node import SUCCESS, Storage
from components.serving.spool import MADE, QUARANTINE, REASON, SENT, STORED, Spool
from tests.flows.conftest import eventually
from tests.serving.nodes import Archive, answer, archive, committing, settings
from tests.serving.test_delivery import drawn, with_made

pytestmark = pytest.mark.service


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def there() -> Iterator[Archive]:
    with archive() as there:
        yield there


@pytest.fixture
def keys(spool: Spool, there: Archive, tmp_path: Path) -> list[str]:
    """Three images that the archive has stored."""
    found = [with_made(spool, tmp_path, drawn(number)) for number in range(3)]
    assert deliver(spool, there) == 3
    return found


def deliver(spool: Spool, there: Archive) -> int:
    return Delivery(settings(there.port, destinations=committing(there.port)).node, spool, 0.01).deliver()


def commitments(spool: Spool, there: Archive, retry_s: float = 0.01, **node: Any) -> Commitments:
    return Commitments(settings(there.port, **{"destinations": committing(there.port)} | node).node, spool, retry_s)


def test_an_image_is_let_go_when_its_destination_has_promised_to_keep_it(
    spool: Spool, there: Archive, keys: list[str]
) -> None:
    asking = commitments(spool, there)
    asking.ask()
    assert eventually(lambda: all(spool.state_of(key) == SENT for key in keys))
    (asked,) = there.asked
    kept = {(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in asked.ReferencedSOPSequence}
    assert kept == {(images[0].SOPClassUID, number) for number, images in there.taken.items()}
    assert not list((spool.folder(SENT, keys[0])).glob("*.dcm"))
    asking.ask()
    assert len(there.asked) == 1


def test_an_answer_may_come_later_on_an_association_of_its_own(spool: Spool, there: Archive, keys: list[str]) -> None:
    there.answers = False
    asking = commitments(spool, there)
    node = settings(there.port, destinations=committing(there.port)).node
    with Storage(node, spool, lambda: None, asking.receive_report).listening() as port:
        asking.ask()
        asking.ask()
        assert len(there.asked) == 1, "it is not asked again while it may still answer"
        assert [spool.state_of(key) for key in keys] == [STORED] * 3
        report, kind = there.report(there.asked[0])
        assert answer(port, report, kind) == SUCCESS
        assert [spool.state_of(key) for key in keys] == [SENT] * 3
        assert answer(port, report, kind) == SUCCESS, "said twice, it changes nothing"


def test_what_is_not_kept_is_sent_again_and_nothing_else_is(spool: Spool, there: Archive, keys: list[str]) -> None:
    lost, *others = there.taken
    del there.taken[lost]
    asking = commitments(spool, there)
    asking.ask()
    assert eventually(lambda: [spool.state_of(key) for key in keys].count(SENT) == 2)
    assert eventually(lambda: asking.ask() is None and spool.counts()[MADE] == 1)
    assert deliver(spool, there) == 1
    asking.ask()
    assert eventually(lambda: all(spool.state_of(key) == SENT for key in keys))
    assert {number: len(images) for number, images in there.taken.items()} == {lost: 1} | dict.fromkeys(others, 1)


@pytest.mark.parametrize(("reason", "rounds"), [(0x0122, 1), (0x0119, 1), (0x0213, FAILURES)])
def test_what_is_never_kept_is_set_aside_with_the_reason_and_both_images(
    spool: Spool, there: Archive, tmp_path: Path, reason: int, rounds: int
) -> None:
    key = with_made(spool, tmp_path, drawn())
    deliver(spool, there)
    there.failing = dict.fromkeys(there.taken, reason)
    asking = commitments(spool, there, 0.0)

    def goes_on() -> bool:
        asking.ask()
        deliver(spool, there)
        return spool.state_of(key) == QUARANTINE

    assert eventually(goes_on)
    assert len(there.asked) == rounds
    assert f"archive does not keep it, reason 0x{reason:04X}" in (spool.folder(QUARANTINE, key) / REASON).read_text()
    assert {"image.dcm", "derived.dcm"} < {path.name for path in spool.folder(QUARANTINE, key).iterdir()}


def test_a_service_that_was_ended_asks_again_for_what_it_had_asked(
    spool: Spool, there: Archive, keys: list[str]
) -> None:
    there.answers = False
    commitments(spool, there).ask()
    there.answers = True
    commitments(spool, there).ask()
    assert eventually(lambda: all(spool.state_of(key) == SENT for key in keys))
    assert there.asked[0].TransactionUID != there.asked[1].TransactionUID


def test_what_was_asked_long_ago_is_asked_again(
    spool: Spool, there: Archive, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there.answers = False
    monkeypatch.setattr(commitment, "ANSWER_S", 0.0)
    asking = commitments(spool, there)
    asking.ask()
    asking.ask()
    assert len(there.asked) == 2 and all(len(asked.ReferencedSOPSequence) == len(keys) for asked in there.asked)


def test_a_destination_that_does_not_take_the_question_is_asked_later(
    spool: Spool, there: Archive, keys: list[str]
) -> None:
    there.asked_status = 0x0110
    asking = commitments(spool, there, 0.2)
    asking.ask()
    asking.ask()
    assert len(there.asked) == 1, "it rests"
    there.asked_status = 0x0000
    assert eventually(lambda: asking.ask() is None and spool.counts()[SENT] == 3)


def test_one_that_offers_no_commitment_is_named_and_the_images_stay(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with archive(kinds=[str(drawn().SOPClassUID)]) as there:
        key = with_made(spool, tmp_path, drawn())
        deliver(spool, there)
        commitments(spool, there).ask()
        assert spool.state_of(key) == STORED
        assert "archive: storage commitment: ARCHIVE takes none of the SOP classes" in caplog.text
        commitments(spool, there, destinations=settings(there.port).node.destinations).ask()
    assert spool.state_of(key) == SENT, "the settings do not ask for it any more"


def test_nobody_but_the_destination_lets_an_image_go(spool: Spool, there: Archive, keys: list[str]) -> None:
    there.answers = False
    asking = commitments(spool, there)
    node = settings(there.port, destinations=committing(there.port)).node
    with Storage(node, spool, lambda: None, asking.receive_report).listening() as port:
        asking.ask()
        report, kind = there.report(there.asked[0])
        assert answer(port, report, kind, calling="STRANGER") is None
        assert answer(port, report, kind, called="ELSEWHERE") is None
        assert answer(port, report, kind, calling="SENDER") is None, "it may send images, not promise to keep them"
        forged = Dataset()
        forged.update(report)
        forged.TransactionUID = "2.25.1"
        assert answer(port, forged, kind) == SUCCESS
    assert [spool.state_of(key) for key in keys] == [STORED] * 3


def test_what_stands_beside_an_image_names_no_patient(spool: Spool, there: Archive, keys: list[str]) -> None:
    there.answers = False
    commitments(spool, there).ask()
    for key in keys:
        said = json.loads((spool.folder(STORED, key) / COMMITMENT).read_text())
        assert set(said) == {"instance", "kind", "transaction", "failures", "again_at", "failed"}
