"""The service's metrics for Prometheus: numbers and versions, nothing of any image."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from components.serving.champion import Champion
from components.serving.spool import Spool

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """The metrics of one service. Counts begin at its start."""

    def __init__(self, spool: Spool, champion: Champion) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_State(spool, champion))
        self.received = Counter(
            "medsr_images_received", "Images received, repeated ones too", ["by"], registry=self._registry
        )
        self.set_aside = Counter("medsr_images_set_aside", "Images not made, with a reason", registry=self._registry)
        self.image_seconds = Histogram(
            "medsr_image_seconds",
            "Time to make an image, by the model's version",
            ["version"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._requests = Counter(
            "medsr_http_requests", "Answers given", ["method", "route", "status"], registry=self._registry
        )

    def answered(self, method: str, route: str, status: int) -> None:
        """Counts an answer. Methods that HTTP does not know count as one, because a client can send any word."""
        self._requests.labels(method if method in HTTPMethod.__members__ else "other", route, status).inc()

    def refused(self) -> None:
        """Counts an answer to a message that is not HTTP."""
        self.answered("other", "none", 400)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _State(Collector):
    """Metrics that are read from the spool and the champion at each request."""

    def __init__(self, spool: Spool, champion: Champion) -> None:
        self._spool, self._champion = spool, champion

    def collect(self) -> Iterator[GaugeMetricFamily]:
        images = GaugeMetricFamily("medsr_images", "Images in the spool, by how far they are", labels=["state"])
        for state, count in self._spool.counts().items():
            images.add_metric([state], count)
        yield images
        serving = GaugeMetricFamily("medsr_champion", "1 for the version in service", labels=["model", "version"])
        generator = self._champion.generator
        serving.add_metric([generator.name, generator.version], 1)
        yield serving
        free = shutil.disk_usage(self._spool.incoming).free
        yield GaugeMetricFamily("medsr_disk_free_bytes", "Free where the spool is", free)
