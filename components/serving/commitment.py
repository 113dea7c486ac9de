"""Storage commitment, PS3.4 Annex J: an image is let go when its destination has said that it keeps it.

The destination is asked (N-ACTION), and answers (N-EVENT-REPORT) at once or hours later, on the same association or on
one that it opens. What was asked stands beside the image before it is asked: no answer comes too early, or to a service
that forgot.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import evt

from components.serving.associations import Away, Pauses, TakesNone, associated
from components.serving.node import PUSH_MODEL, SUCCESS
from components.serving.settings import Destination, Node
from components.serving.spool import STORED, Job, Spool

LOGGER = logging.getLogger(__name__)
INSTANCE = "1.2.840.10008.1.20.1.1"  # the one instance of the push model there is
REQUEST = 1
COMMITMENT = "commitment.json"
BATCH = 100  # images a transaction
SAME_ASSOCIATION_S = 1.0  # for an answer on the association on which it was asked
ANSWER_S = 24 * 3600.0  # after which it is asked again
LONGEST_PAUSE_S = 3600.0
FAILURES = 8  # after which an image is set aside
FOR_GOOD = {0x0119: "it has another SOP class there", 0x0122: "its SOP class is not supported"}


@dataclass(frozen=True)
class Asked:
    """What is known of an image that its destination has stored and not promised to keep."""

    instance: str
    kind: str
    transaction: str = ""
    failures: int = 0
    again_at: float = 0.0  # in seconds since 1970: it is stored again where it failed, else asked for again
    failed: bool = False


class Commitments:
    """Asks for what was stored, and hears the answers, on other threads too."""

    def __init__(self, node: Node, spool: Spool, retry_s: float) -> None:
        self._node, self._spool, self._retry_s, self._pauses = node, spool, retry_s, Pauses(retry_s)
        self._destinations = {destination.name: destination for destination in node.destinations}
        self._began = time.time()
        self._changing = threading.Lock()
        self._answered = threading.Event()

    def ask(self) -> None:
        """Asks each destination for what it has stored since it was asked last, or did not answer to."""
        jobs = sorted(self._spool.listed(STORED), key=lambda job: job.destination)
        for name, group in groupby(jobs, key=lambda job: job.destination):
            destination = self._destinations.get(name)
            if destination is None or self._pauses.rests(name):
                continue
            if not destination.commits:  # any more
                for job in group:
                    self._spool.sent(job.key, STORED)
                continue
            try:
                if due := self._due(group):
                    self._ask(destination, due)
                    self._pauses.end(name)
            except (Away, TakesNone) as error:
                self._pauses.rest(name, Away(f"storage commitment: {error}"))

    def _due(self, jobs: Iterable[Job]) -> list[Job]:
        """Those to be asked for now; one that failed is sent again instead when its pause is over.

        What a service that ended had asked is asked again: the answer may have come while nobody listened.
        """
        due = []
        for job in jobs:
            with self._changing:
                asked = self._read(job)
                if asked is None or (time.time() < asked.again_at and (asked.failed or self._is_ours(asked))):
                    continue
                if asked.failed:
                    self._write(job, replace(asked, failed=False, transaction="", again_at=0.0))
                    self._spool.unstored(job.key)
                else:
                    due.append(job)
            if len(due) == BATCH:
                break
        return due

    def _is_ours(self, asked: Asked) -> bool:
        return asked.again_at - ANSWER_S >= self._began

    def _ask(self, destination: Destination, jobs: Sequence[Job]) -> None:
        transaction = generate_uid(prefix=None)
        heard = [(evt.EVT_N_EVENT_REPORT, self.heard, [destination.name])]
        with associated(self._node, destination, {PUSH_MODEL}, heard) as association:
            self._answered.clear()
            request = Dataset()
            request.TransactionUID, request.ReferencedSOPSequence = transaction, []
            for job in jobs:
                with self._changing:
                    if asked := self._read(job):
                        self._write(job, replace(asked, transaction=transaction, again_at=time.time() + ANSWER_S))
                        request.ReferencedSOPSequence.append(_reference(asked))
            if not request.ReferencedSOPSequence:
                return
            try:
                answer, _ = association.send_n_action(request, REQUEST, PUSH_MODEL, INSTANCE)
            except (RuntimeError, ValueError) as error:
                self._not_asked(jobs)
                raise Away(str(error)) from error
            if "Status" not in answer or answer.Status != SUCCESS:
                self._not_asked(jobs)
                raise Away(f"answers {answer.Status:#06x}" if "Status" in answer else "gives no answer")
            self._answered.wait(SAME_ASSOCIATION_S)

    def _not_asked(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            with self._changing:
                if asked := self._read(job):
                    self._write(job, replace(asked, again_at=0.0))

    def heard(self, event: Any, *names: str) -> tuple[int, None]:
        """An answer of the destinations called `names`; one to what nobody asked changes nothing."""
        report = event.event_information
        transaction = str(report.get("TransactionUID", ""))
        kept = {str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence") or ()}
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0))
            for item in report.get("FailedSOPSequence") or ()
        }
        known = False
        for job in self._spool.listed(STORED):
            with self._changing:
                asked = self._read(job) if job.destination in names else None
                if asked is None or not transaction or asked.transaction != transaction:
                    continue
                known = True
                if asked.instance in failed:
                    self._failed(job, asked, failed[asked.instance])
                elif asked.instance in kept:
                    self._spool.sent(job.key, STORED)
        if not known:
            LOGGER.warning("%s: a storage commitment that nothing waits for", ", ".join(names))
        self._answered.set()
        return SUCCESS, None

    def _failed(self, job: Job, asked: Asked, reason: int) -> None:
        failures = asked.failures + 1
        why = FOR_GOOD.get(reason, f"{failures} times it did not promise to keep it")
        if reason in FOR_GOOD or failures >= FAILURES:
            self._spool.set_aside(job.key, STORED, f"{job.destination} does not keep it, reason 0x{reason:04X}: {why}")
            LOGGER.error("%s: %s does not keep it, reason 0x%04X", job.key, job.destination, reason)
            return
        pause = min(self._retry_s * 2**asked.failures, LONGEST_PAUSE_S)
        self._write(job, replace(asked, failures=failures, failed=True, again_at=time.time() + pause))
        LOGGER.warning(
            "%s: %s does not keep it, reason 0x%04X; sent again in %.0f s", job.key, job.destination, reason, pause
        )

    def _read(self, job: Job) -> Asked | None:
        """Nothing where the image is let go meanwhile."""
        folder = self._spool.folder(STORED, job.key)
        if not folder.is_dir():
            return None
        if (folder / COMMITMENT).is_file():
            return Asked(**json.loads((folder / COMMITMENT).read_text(encoding="utf-8")))
        image = dcmread(folder / job.derived, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        return Asked(str(image.SOPInstanceUID), str(image.SOPClassUID))

    def _write(self, job: Job, asked: Asked) -> None:
        self._spool.write(STORED, job.key, COMMITMENT, json.dumps(asdict(asked)))


def _reference(asked: Asked) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = asked.kind, asked.instance
    return item
