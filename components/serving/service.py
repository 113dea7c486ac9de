"""The service: images come in, are sharpened, and go out; each part goes on where another is away."""

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
        """Serves until `stop` is set; `ready` hears the ports. What is not done then is done by the next one.

        A part that fails goes on after a rest. Raises `StepError` where another service is at work on the same spool or
        a port is taken.
        """
        node, http = self._settings.node, self._settings.http
        storage = Storage(node, self.spool, partial(self._received, "dicom"), self._commitments.heard)
        arrived, shop = partial(self._received, "http"), self.workshop
        web = Web(Desk(self._settings, self.spool, arrived, shop.frames, shop.withdraw), self.metrics)
        with self.spool.opened(), ExitStack() as open_until_the_end:
            ports = Ports(_open(open_until_the_end, storage, node), _open(open_until_the_end, web, http))
            works = [self._make] * self._settings.at_once + [self._deliver, self._commit, self._follow]
            parts = open_until_the_end.enter_context(ThreadPoolExecutor(len(works)))
            for work in works:
                parts.submit(_again_and_again, work, stop)
            try:
                ready(ports)
                stop.wait()
            finally:
                stop.set()  # whatever ended the wait: nobody else would tell the parts

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


def _again_and_again(work: Callable[[threading.Event], None], stop: threading.Event) -> None:
    """Does `work` until `stop` is set, after a rest where it failed: a full disk, or what nobody thought of, passes."""
    while not stop.is_set():
        try:
            work(stop)
        except Exception as error:  # noqa: BLE001 one that takes images and does nothing with them is worse than none
            LOGGER.error("%s; again in %.0f s", _told(error), REST_S)
            stop.wait(REST_S)


def _told(error: Exception) -> str:
    """What failed and where. What the machine says is safe to log; other words may hold an image's values."""
    if isinstance(error, (OSError, MemoryError)):
        return f"{type(error).__name__}: {error}"
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"


def _open(stack: ExitStack, part: Storage | Web, where: Node | Http) -> int:
    """The port at which `part` listens from now on, until the stack is closed."""
    try:
        return stack.enter_context(part.listening())
    except OSError as error:
        raise StepError(f"{where.host}:{where.port}: cannot be listened at: {error}. Choose another.") from error
