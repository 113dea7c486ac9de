"""The work on waiting images: which is next, how many at once, and which are set aside."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from functools import partial

import torch

from components.enhance import enhance_file
from components.handover import Layout, StepError
from components.imaging.decoding import UnreadableImage
from components.serving import limits
from components.serving.champion import Champion
from components.serving.metrics import Metrics
from components.serving.record import record
from components.serving.settings import Limits
from components.serving.spool import WAITING, Job, Spool

LOGGER = logging.getLogger(__name__)
TRIES = 5  # of an image at which the process ended


class Workshop:
    """Sharpens waiting images. Several threads may call `make_next`; each image goes to one of them."""

    def __init__(self, layout: Layout, spool: Spool, champion: Champion, allowed: Limits, metrics: Metrics) -> None:
        self._layout, self._spool, self._champion = layout, spool, champion
        self._allowed, self._metrics = allowed, metrics
        self._choosing = threading.Lock()
        self._next: deque[Job] = deque()
        self._frames: dict[str, tuple[int, int]] = {}  # of those at work: how many are done, of how many
        self._alone = False

    def frames(self, key: str) -> tuple[int, int] | None:
        """Frames done and frames in all (0 while unknown) of an image at work; `None` for any other."""
        return self._frames.get(key)

    def withdraw(self, key: str) -> bool:
        """Drops the image if it waits and no thread works on it. Gives whether it did."""
        with self._choosing:
            if key in self._frames:
                return False
            try:
                self._spool.drop(WAITING, key)
            except FileNotFoundError:  # it is made, or was withdrawn, meanwhile
                return False
            self._next = deque(job for job in self._next if job.key != key)
            return True

    def make_next(self) -> bool:
        """Sharpens the image that waits longest, or sets it aside. Gives whether one was waiting.

        A lack of disk space or memory is raised, and the image is tried again.
        """
        job = self._claim()
        if job is None:
            return False
        try:
            self._make(job)
        finally:
            with self._choosing:
                self._alone = False
                del self._frames[job.key]
        return True

    def _claim(self) -> Job | None:
        """The next image that no thread works on. One that may have ended the process before is sharpened alone.

        So an image is suspected at most once for what its neighbour did.
        """
        with self._choosing:
            if self._alone:
                return None
            if not self._next:
                at_work = set(self._frames)  # before the look: what ends during it is not taken for waiting
                self._next.extend(job for job in self._spool.listed(WAITING) if job.key not in at_work)
            if not self._next:
                return None
            suspect = self._spool.was_tried(self._next[0].key)
            if suspect and self._frames:
                return None
            self._alone = suspect
            job = self._next.popleft()
            self._frames[job.key] = 0, 0
            return job

    def _make(self, job: Job) -> None:
        folder, generator = self._spool.folder(WAITING, job.key), self._champion.generator
        source, derived = folder / job.image, folder / job.derived
        if self._spool.tried(job.key) >= TRIES:
            self._set_aside(job, f"{TRIES} times the service ended, or had no memory left, at work on this image")
            return
        try:
            limits.check(source, self._allowed)
            image = enhance_file(source, derived, generator, overwrite=True, on_frame=partial(self._count, job.key))
            record(self._layout, image, generator.percentiles)
        except (UnreadableImage, StepError) as error:
            # our folders are nobody's business who fetches the reason
            self._set_aside(job, str(error).replace(f"{folder}{os.sep}", ""))
        except OSError:
            self._spool.not_tried(job.key)  # it was not the image's fault
            raise
        except MemoryError:
            raise
        except Exception as error:  # whatever a file makes a library raise, it stops no other's work
            if _lacks_memory(error):
                raise MemoryError(f"{type(error).__name__} of torch") from error
            self._set_aside(job, f"{type(error).__name__}: {error}")
        else:
            details = {"model": image.model_name, "version": image.model_version, "seconds": round(image.seconds, 3)}
            self._spool.made(job.key, details | {"frames": image.frames, "rows": image.rows, "columns": image.columns})
            self._metrics.image_seconds.labels(image.model_version).observe(image.seconds)
            LOGGER.info("%s: made by %s %s in %.2f s", job.key, image.model_name, image.model_version, image.seconds)

    def _count(self, key: str, done: int, of: int) -> None:
        self._frames[key] = done, of

    def _set_aside(self, job: Job, reason: str) -> None:
        self._spool.set_aside(job.key, WAITING, reason)
        self._metrics.set_aside.inc()
        LOGGER.error("%s: set aside, its reason beside it", job.key)


def _lacks_memory(error: Exception) -> bool:
    """Whether torch lacked memory: on a CPU it raises a plain RuntimeError with these words."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
