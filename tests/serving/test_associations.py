from __future__ import annotations

import logging

import pytest
from pydicom.uid import CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from components.serving.associations import LONGEST_PAUSE_S, Away, Pauses, TakesNone, associated
from tests.services import free_port
from tests.serving.nodes import archive, settings

pytestmark = pytest.mark.service


def test_an_association_is_open_for_the_block_and_offers_what_is_taken_of_it() -> None:
    with archive(kinds=[CTImageStorage]) as there:
        node = settings(there.port).node
        with associated(node, node.destinations[0], {str(CTImageStorage), str(MRImageStorage)}) as association:
            assert association.is_established
            assert [context.abstract_syntax for context in association.accepted_contexts] == [CTImageStorage]
        assert association.is_released


def test_one_that_takes_none_is_told_from_one_that_is_away() -> None:
    with archive(kinds=[SecondaryCaptureImageStorage]) as there:
        node = settings(there.port).node
        with pytest.raises(TakesNone, match=r"ARCHIVE takes none of the SOP classes 1\.2\.840"):
            associated(node, node.destinations[0], {str(CTImageStorage)}).__enter__()
    node = settings(free_port()).node
    with pytest.raises(Away, match=r"ARCHIVE at 127\.0\.0\.1:\d+ does not answer"):
        associated(node, node.destinations[0], {str(CTImageStorage)}).__enter__()


def test_each_pause_is_twice_as_long_until_it_answers_and_no_longer_than_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses = Pauses(600.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            pauses.pause("archive", Away("gone"))
    assert [record.getMessage().split(" in ")[1] for record in caplog.records] == [
        "600 s",
        "1200 s",
        "2400 s",
        "3600 s",
    ]
    assert LONGEST_PAUSE_S == 3600 and pauses.is_paused("archive") and not pauses.is_paused("other")
    pauses.end("archive")
    assert not pauses.is_paused("archive")
