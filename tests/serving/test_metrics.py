from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from components.serving.champion import Champion
from components.serving.metrics import Metrics
from components.serving.spool import Spool
from tests.serving.nodes import BICUBIC
from tests.serving.test_service import draw
from tests.serving.web import bring, served

pytestmark = pytest.mark.service


def test_the_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client):
        bring(client, draw(tmp_path / "sent", 1)[0])
        client.get(f"/jobs/{'0' * 32}")
        families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert found["medsr_images_received_total", ("by", "http")] == 1
    assert found["medsr_images", ("state", "kept")] == 1
    assert found["medsr_image_seconds_count", ("version", "3")] == 1
    assert found["medsr_champion", ("model", "sr-generator"), ("version", "3")] == 1
    missed = ("medsr_http_requests_total", ("method", "GET"), ("route", "/jobs/{key}"), ("status", "404"))
    assert found[missed] == 1, "routes, and not the numbers of jobs"


def test_two_services_of_one_process_count_apart(tmp_path: Path) -> None:
    one, other = (Metrics(Spool(tmp_path / name), Champion(lambda: BICUBIC)) for name in ("one", "other"))
    one.received.labels("dicom").inc(5)
    assert b'medsr_images_received_total{by="dicom"} 5.0' in one.text()
    assert b"received_total{" not in other.text()


def test_a_word_that_is_no_method_is_counted_and_not_repeated(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client):
        for word in ("DOE-JANE-7", "BREW"):
            assert client.request(word, "/").status_code == 405
        text = client.get("/metrics").text
    assert 'medsr_http_requests_total{method="other",route="/",status="405"} 2.0' in text
    assert "DOE" not in text and "BREW" not in text
