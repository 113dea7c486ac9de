"""Storage commitment, PS3.4 Annex J: the service drops an image once its destination has promised to keep it.

The service asks (N-ACTION). The destination answers (N-EVENT-REPORT) at once or hours later, on the same association or
on one that it opens. The service writes each request beside its image before it sends it, so that it recognises every
answer, after a restart too.
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
PERMANENT_FAILURES = {0x0119: "it has another SOP class there", 0x0122: "its SOP class is not supported"}


@dataclass(frozen=True)
class Pending:
    """An image that its destination has stored and not yet promised to keep."""

    instance: str
    kind: str
    transaction: str = ""
    failures: int = 0
    again_at: float = 0.0  # seconds since 1970: a failed image is stored again then, any other asked for again
    failed: bool = False


class Commitments:
    """Asks destinations to commit to stored images, and receives their answers on any thread."""

    def __init__(self, node: Node, spool: Spool, retry_s: float) -> None:
        self._node, self._spool, self._retry_s, self._pauses = node, spool, retry_s, Pauses(retry_s)
        self._destinations = {destination.name: destination for destination in node.destinations}
        self._began = time.time()
        self._changing = threading.Lock()
        self._answered = threading.Event()

    def ask(self) -> None:
        """Asks each destination about the images that it has stored and not yet answered for."""
        jobs = sorted(self._spool.listed(STORED), key=lambda job: job.destination)
        for name, group in groupby(jobs, key=lambda job: job.destination):
            destination = self._destinations.get(name)
            if destination is None or self._pauses.is_paused(name):
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
                self._pauses.pause(name, Away(f"storage commitment: {error}"))

    def _due(self, jobs: Iterable[Job]) -> list[Job]:
        """The images to ask about now. One that failed is sent again instead when its pause is over.

        Requests of an earlier service are repeated: their answers may have come while no service listened.
        """
        due = []
        for job in jobs:
            with self._changing:
                pending = self._read(job)
                if pending is None or (time.time() < pending.again_at and (pending.failed or self._is_ours(pending))):
                    continue
                if pending.failed:
                    self._write(job, replace(pending, failed=False, transaction="", again_at=0.0))
                    self._spool.unstored(job.key)
                else:
                    due.append(job)
            if len(due) == BATCH:
                break
        return due

    def _is_ours(self, pending: Pending) -> bool:
        return pending.again_at - ANSWER_S >= self._began

    def _ask(self, destination: Destination, jobs: Sequence[Job]) -> None:
        transaction = generate_uid(prefix=None)
        handlers = [(evt.EVT_N_EVENT_REPORT, self.receive_report, [destination.name])]
        with associated(self._node, destination, {PUSH_MODEL}, handlers) as association:
            self._answered.clear()
            request = Dataset()
            request.TransactionUID, request.ReferencedSOPSequence = transaction, []
            for job in jobs:
                with self._changing:
                    if pending := self._read(job):
                        self._write(job, replace(pending, transaction=transaction, again_at=time.time() + ANSWER_S))
                        request.ReferencedSOPSequence.append(_reference(pending))
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
                if pending := self._read(job):
                    self._write(job, replace(pending, again_at=0.0))

    def receive_report(self, event: Any, *names: str) -> tuple[int, None]:
        """Receives an answer of the destinations called `names`. Ignores one to a transaction that nobody began."""
        report = event.event_information
        transaction = str(report.get("TransactionUID", ""))
        committed = {str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence") or ()}
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0))
            for item in report.get("FailedSOPSequence") or ()
        }
        matched = False
        for job in self._spool.listed(STORED):
            with self._changing:
                pending = self._read(job) if job.destination in names else None
                if pending is None or not transaction or pending.transaction != transaction:
                    continue
                matched = True
                if pending.instance in failed:
                    self._failed(job, pending, failed[pending.instance])
                elif pending.instance in committed:
                    self._spool.sent(job.key, STORED)
        if not matched:
            LOGGER.warning("%s: a storage commitment that nothing waits for", ", ".join(names))
        self._answered.set()
        return SUCCESS, None

    def _failed(self, job: Job, pending: Pending, reason: int) -> None:
        failures = pending.failures + 1
        cause = PERMANENT_FAILURES.get(reason, f"{failures} times it did not promise to keep it")
        if reason in PERMANENT_FAILURES or failures >= FAILURES:
            self._spool.set_aside(
                job.key, STORED, f"{job.destination} does not keep it, reason 0x{reason:04X}: {cause}"
            )
            LOGGER.error("%s: %s does not keep it, reason 0x%04X", job.key, job.destination, reason)
            return
        pause_s = min(self._retry_s * 2**pending.failures, LONGEST_PAUSE_S)
        self._write(job, replace(pending, failures=failures, failed=True, again_at=time.time() + pause_s))
        LOGGER.warning(
            "%s: %s does not keep it, reason 0x%04X; sent again in %.0f s", job.key, job.destination, reason, pause_s
        )

    def _read(self, job: Job) -> Pending | None:
        """The state of the image's commitment, or `None` where the image is gone meanwhile."""
        folder = self._spool.folder(STORED, job.key)
        if not folder.is_dir():
            return None
        if (folder / COMMITMENT).is_file():
            return Pending(**json.loads((folder / COMMITMENT).read_text(encoding="utf-8")))
        image = dcmread(folder / job.derived, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        return Pending(str(image.SOPInstanceUID), str(image.SOPClassUID))

    def _write(self, job: Job, pending: Pending) -> None:
        self._spool.write(STORED, job.key, COMMITMENT, json.dumps(asdict(pending)))


def _reference(pending: Pending) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = pending.kind, pending.instance
    return reference
