"""The service receives images, sharpens them and sends them on. Each part works while another is unavailable."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.handover import Layout, StepError
from components.serving.champion import Champion
from components.serving.commitment import Commitments
from components.serving.delivery import Delivery
from components.serving.desk import Desk
from components.serving.metrics import Metrics
from components.serving.node import GIB, Storage
from components.serving.settings import Http, Node, Serving
from components.serving.spool import Spool
from components.serving.web import Web
from components.serving.workshop import Workshop

LOGGER = logging.getLogger(__name__)
LOOK_S = 1.0  # between looks at the spool where nothing wakes up
BROKEN_OFF_S = 600.0  # without another byte; the network gives up after a minute
REST_S = 5.0  # after the machine itself failed: no room, no memory


@dataclass(frozen=True)
class Ports:
    """Where the service listens."""

    dicom: int
    http: int


class Service:
    """Everything of one `medsr serve`."""

    def __init__(self, layout: Layout, settings: Serving, champion: Champion) -> None:
        root = Path(settings.spool.folder)
        self._settings, self._champion = settings, champion
        self.spool = Spool(layout.root / root, int(settings.spool.keep_free_gib * GIB))
        self.metrics = Metrics(self.spool, champion)
        self._arrived, self._made = threading.Event(), threading.Event()
        self._delivery = Delivery(settings.node, self.spool, settings.retry_s)
        self._commitments = Commitments(settings.node, self.spool, settings.retry_s)
        self.workshop = Workshop(layout, self.spool, champion, settings.limits, self.metrics)

    def run(self, stop: threading.Event, ready: Callable[[Ports], None]) -> None:
        """Serves until `stop` is set, and calls `ready` with the ports. The next service does the images that are left.

        A part that fails starts again after a pause. Raises `StepError` where another service works on the same spool
        or a port is taken.
        """
        node, http = self._settings.node, self._settings.http
        storage = Storage(node, self.spool, partial(self._received, "dicom"), self._commitments.receive_report)
        arrived, shop = partial(self._received, "http"), self.workshop
        web = Web(Desk(self._settings, self.spool, arrived, shop.frames, shop.withdraw), self.metrics)
        with self.spool.opened(), ExitStack() as open_until_the_end:
            ports = Ports(_open(open_until_the_end, storage, node), _open(open_until_the_end, web, http))
            tasks = [self._make] * self._settings.at_once + [self._deliver, self._commit, self._follow]
            workers = open_until_the_end.enter_context(ThreadPoolExecutor(len(tasks)))
            for task in tasks:
                workers.submit(_repeat, task, stop)
            try:
                ready(ports)
                stop.wait()
            finally:
                stop.set()  # whatever ended the wait: nobody else would tell the workers

    def _received(self, by: str) -> None:
        self.metrics.received.labels(by).inc()
        self._arrived.set()

    def _follow(self, stop: threading.Event) -> None:
        self._champion.follow(self._settings.follow_s, stop)

    def _make(self, stop: threading.Event) -> None:
        self._arrived.clear()
        while not stop.is_set() and self.workshop.make_next():
            self._made.set()
        self._arrived.wait(LOOK_S)

    def _deliver(self, stop: threading.Event) -> None:
        self._made.clear()
        if not self._delivery.deliver():
            self.spool.forget(3600 * self._settings.spool.remember_hours)
            self.spool.sweep(BROKEN_OFF_S)
            self._made.wait(LOOK_S)

    def _commit(self, stop: threading.Event) -> None:
        self._commitments.ask()
        stop.wait(LOOK_S)


def _repeat(work: Callable[[threading.Event], None], stop: threading.Event) -> None:
    """Repeats `work` until `stop` is set, with a pause after each failure: a full disk, say, may have room later."""
    while not stop.is_set():
        try:
            work(stop)
        except Exception as error:  # noqa: BLE001 one that takes images and does nothing with them is worse than none
            LOGGER.error("%s; again in %.0f s", _description(error), REST_S)
            stop.wait(REST_S)


def _description(error: Exception) -> str:
    """The error's type and line. The message is logged only where the machine wrote it: others may quote an image."""
    if isinstance(error, (OSError, MemoryError)):
        return f"{type(error).__name__}: {error}"
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"


def _open(stack: ExitStack, part: Storage | Web, address: Node | Http) -> int:
    """The port at which `part` listens from now on, until the stack is closed."""
    try:
        return stack.enter_context(part.listening())
    except OSError as error:
        raise StepError(f"{address.host}:{address.port}: cannot be listened at: {error}. Choose another.") from error
