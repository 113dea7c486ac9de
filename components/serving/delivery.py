"""Delivery of sharpened images: C-STORE to their destination (PS3.4 Annex B), repeated until they arrive."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from pydicom import dcmread

from components.serving.associations import Away, Pauses, TakesNone, associated
from components.serving.node import SUCCESS
from components.serving.settings import Node
from components.serving.spool import MADE, Job, Spool

LOGGER = logging.getLogger(__name__)
BATCH = 100  # images an association
TRANSIENT = {0x0110, 0x0124, 0x0213}  # failed in processing, not authorised, out of resources (PS3.7 annex C)
FAILURES = 8  # of these, after which an image is set aside


class Delivery:
    """Sends sharpened images, and pauses for a destination that does not answer."""

    def __init__(self, node: Node, spool: Spool, retry_s: float) -> None:
        self._node, self._spool, self._pauses = node, spool, Pauses(retry_s)
        self._images, self._failures = Pauses(retry_s), Counter[str]()
        self._destinations = {destination.name: destination for destination in node.destinations}

    def deliver(self) -> int:
        """Sends the images whose destination is not paused. Gives how many arrived."""
        waiting = (job for job in self._spool.listed(MADE) if not self._images.is_paused(job.key))
        jobs = sorted(waiting, key=lambda job: job.destination)
        arrived = 0
        for name, group in groupby(jobs, key=lambda job: job.destination):
            if self._pauses.is_paused(name):
                continue
            try:
                for delivered in self._send(name, list(group)[:BATCH]):
                    arrived += delivered
                self._pauses.end(name)
            except Away as error:
                self._pauses.pause(name, error)
        return arrived

    def _send(self, name: str, jobs: list[Job]) -> Iterator[bool]:
        """Gives for each image whether it arrived. Sets aside those that the destination refuses for good."""
        destination = self._destinations.get(name)
        if destination is None:
            raise Away("is no destination in the settings any more")
        try:
            with associated(self._node, destination, self._sop_classes(jobs)) as association:
                for job in jobs:
                    yield self._store(association, job, destination.commits)
        except TakesNone as error:
            for job in jobs:
                self._spool.set_aside(job.key, MADE, f"{name} refuses it: {error}")

    def _sop_classes(self, jobs: list[Job]) -> set[str]:
        paths = (self._spool.folder(MADE, job.key) / job.derived for job in jobs)
        return {str(dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID) for path in paths}

    def _store(self, association: Any, job: Job, commits: bool) -> bool:
        path = self._spool.folder(MADE, job.key) / job.derived
        try:
            answer = association.send_c_store(path)
        except ValueError as error:  # it takes no images of this kind
            self._spool.set_aside(job.key, MADE, f"{job.destination} refuses it: {error}")
            return False
        except RuntimeError as error:  # the association ended
            raise Away(str(error)) from error
        if "Status" not in answer:
            raise Away("gave no answer to an image")
        return self._settle(job, int(answer.Status), str(answer.get("ErrorComment", "")), commits)

    def _settle(self, job: Job, status: int, comment: str, commits: bool) -> bool:
        """Whether the image arrived. After a transient failure only this image pauses and is tried again."""
        if status >> 8 == 0xA7:
            raise Away("is out of resources")
        if status in TRANSIENT and self._failures[job.key] + 1 < FAILURES:
            self._failures[job.key] += 1
            self._images.pause(job.key, Away(f"{job.destination} answers 0x{status:04X}"))
            return False
        self._images.end(job.key)
        del self._failures[job.key]
        if status == SUCCESS or status >> 12 == 0xB:
            if commits:
                self._spool.stored(job.key)
            else:
                self._spool.sent(job.key, MADE)
            return True
        reason = f"status 0x{status:04X}{': ' * bool(comment)}{comment}"
        self._spool.set_aside(job.key, MADE, f"{job.destination} refuses it, {reason}")
        LOGGER.error("%s: %s refuses it, status 0x%04X", job.key, job.destination, status)
        return False
