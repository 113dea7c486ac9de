import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.evidence.policy import Criterion
from components.handover import GENERATORS, METHODS, Layout, RunRecord, StepError, read_rows, write_record
from components.handover.classifier_rows import ClassifierSummary
from components.handover.names import RECORD
from components.handover.sr_rows import MethodSummary
from components.pages.labels import CLASSIFIER_NAMES
from components.register import Decision
from flows import artifacts
from flows.automations import VERDICT_CHANGED
from flows.mlflow_pages import MLFLOW_PAGES
from tests import tables
from tests.flows.conftest import eventually

pytestmark = pytest.mark.service

REFUSED = Decision("sr-generator", "esrgan", "3", "refused", "2", (Criterion("mean SSIM at least", 0.9, 0.8, False),))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    tables.write_scores(layout)
    return layout


def published(layout: Layout, server: str) -> dict[str, Any]:
    """What Prefect keeps of each artifact after a run of a flow that published them."""
    from prefect import flow

    @flow(name="publishing")
    def publishing() -> None:
        artifacts.publish(layout, [REFUSED])

    publishing()
    keys = (artifacts.VERDICT, artifacts.METHODS, artifacts.CLASSIFIERS)
    return {key: httpx.get(f"{server}/artifacts/{key}/latest").raise_for_status().json()["data"] for key in keys}


def test_a_run_leaves_the_verdict_and_the_tables_as_the_files_have_them(layout: Layout, prefect_server: str) -> None:
    found = published(layout, prefect_server)
    summary = read_rows(layout.sr_summary, MethodSummary)
    leader = max((line for line in summary if line.method in GENERATORS), key=lambda line: line.psnr_db_mean)
    headline = found["verdict"].splitlines()[0]
    assert f"{leader.psnr_db_mean:.2f} dB, {leader.psnr_gain_db:+.2f} [{leader.psnr_gain_db_low:+.2f}" in headline
    assert "too few" in found["verdict"] and "sr-generator 3 (esrgan) not promoted: mean SSIM" in found["verdict"]
    methods = json.loads(found["super-resolution"])
    assert {row["method"] for row in methods} == set(METHODS)
    assert [row["PSNR (dB)"] for row in methods] == [round(line.psnr_db_mean, 2) for line in summary]
    classifiers = json.loads(found["classifiers"])
    lines = read_rows(layout.classifiers, ClassifierSummary)
    assert [row["classifier"] for row in classifiers] == [CLASSIFIER_NAMES[line.classifier] for line in lines]
    assert [row["sensitivity"] for row in classifiers] == [round(line.sensitivity, 3) for line in lines]


def test_what_is_shown_leads_to_the_report_and_to_the_runs(
    layout: Layout, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(MLFLOW_PAGES, "http://127.0.0.1:5999")
    record = RunRecord(
        name="esrgan", run_id="abc", model_id="", weights_sha256="", data_sha256="", git_revision="", seconds=1.0
    )
    write_record(layout.model("esrgan") / RECORD, record)
    said = artifacts.links(layout, ["bicubic", "esrgan"])
    assert said.endswith("MLflow: [esrgan](http://127.0.0.1:5999/#/runs/abc).")
    assert said.startswith(f"The report: [{layout.report.resolve()}](file://")
    assert artifacts.links(layout, ["bicubic"]).endswith("report.html).")


def test_a_decision_that_was_written_into_the_ledger_is_told(prefect_server: str) -> None:
    began = datetime.now(UTC)
    unchanged = replace(REFUSED, version="2", outcome="unchanged")
    artifacts.announce([unchanged], [])
    artifacts.announce([REFUSED, unchanged], [{"model": "sr-generator", "version": "3"}])
    wanted = {"event": {"name": [VERDICT_CHANGED]}, "occurred": {"since": began.isoformat()}}

    def told() -> list[str]:
        answer = httpx.post(f"{prefect_server}/events/filter", json={"filter": wanted})
        return [event["payload"]["said"] for event in answer.raise_for_status().json()["events"]]

    assert eventually(lambda: told() == [REFUSED.summary], 180), told()


def test_a_table_that_is_missing_is_named(layout: Layout) -> None:
    layout.classifiers.unlink()
    layout.sr_summary.unlink()
    with pytest.raises(StepError, match=r"sr_summary\.csv"):
        artifacts.publish(layout, [])
