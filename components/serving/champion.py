"""The generator that the registry calls champion, kept up to date while the service runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np

from components.adapters import registry, tracking
from components.handover import Layout, StepError
from components.learning.inference.generator import Generator
from components.learning.inference.sharpening import sharpen_grey

LOGGER = logging.getLogger(__name__)
CHECKED_ON = (np.add.outer(np.arange(48), np.arange(64)) * 37 % 4096).astype(np.uint16)  # a pattern that nothing clips


class Champion:
    """Holds the generator in service. Another replaces it only after passing a check."""

    def __init__(self, load: Callable[[], Generator]) -> None:
        """Raises `StepError` where no champion passes the check."""
        self._load = load
        self._serving = load()
        _check(self._serving)

    @property
    def generator(self) -> Generator:
        """The generator in service. A caller uses the same one to the end of an image."""
        return self._serving

    def refresh(self) -> bool:
        """Puts a new champion that passes the check into service. Gives whether it did, and logs a failure."""
        try:
            candidate = self._load()
            if (candidate.name, candidate.version) == (self._serving.name, self._serving.version):
                return False
            _check(candidate)
        except Exception as error:  # noqa: BLE001 whatever is wrong with the new one, the old one answers
            reason = error if isinstance(error, StepError) else f"{type(error).__name__}: {error}"
            LOGGER.warning("%s %s goes on serving: %s", self._serving.name, self._serving.version, reason)
            return False
        LOGGER.info("%s %s takes over from %s", candidate.name, candidate.version, self._serving.version)
        self._serving = candidate
        return True

    def follow(self, every_s: float, stop: threading.Event) -> None:
        """Looks for a new champion every `every_s` seconds until `stop` is set."""
        while not stop.wait(every_s):
            self.refresh()


def from_registry(layout: Layout) -> Callable[[], Generator]:
    """Loads the champion of the registry, and only where its alias has moved since.

    The loader raises `tracking.Unreachable` where the registry does not answer.
    """
    loaded: list[Generator] = []

    def load() -> Generator:
        with tracking.reached(layout):
            version = registry.by_alias(layout, registry.GENERATOR, registry.CHAMPION)
            if not loaded or version is None or version.number != loaded[0].version:
                loaded[:] = [registry.load_generator(layout)]
            return loaded[0]

    return load


def _check(generator: Generator) -> None:
    rows, columns = CHECKED_ON.shape
    answer = np.concatenate(list(sharpen_grey(CHECKED_ON, generator)))
    expected = (rows * generator.scale, columns * generator.scale)
    if answer.shape != expected or not np.isfinite(answer).all():
        raise StepError(
            f"{generator.name} {generator.version}: expected {expected} finite values of a test image, found "
            f"{answer.shape}. Roll back with `medsr models rollback`."
        )
