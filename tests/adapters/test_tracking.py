import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from components import train
from components.adapters import tracking
from components.handover import Layout, read_record
from flows import mlflow_pages
from flows.prefect_server import DEFAULTS
from tests.settings import small


def test_a_tracked_training_keeps_parameters_curves_data_digest_and_model(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_STAGE", "train@srcnn")
    record = train.run(project, small(), "srcnn")
    assert record == read_record(project.model("srcnn") / "run.json")
    run = tracking.connect(project).get_run(record.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["recipe"] == "pixel" and run.data.params["network.channels"] == "8"
    assert run.data.tags["dvc_stage"] == "train@srcnn" and run.data.tags["data_sha256"] == record.data_sha256
    assert {"pixel_loss", "validation_psnr_db", "validation_ssim"} <= set(run.data.metrics)
    assert tracking.connect(project).get_logged_model(record.model_id).name == "srcnn"
    assert tracking.restore(project, record) is record
    assert (project.mlruns / "mlflow.db").is_file() and any((project.mlruns / "artifacts").rglob("weights.safetensors"))


def test_a_training_that_fails_ends_its_run_as_failed(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RuntimeError, match="stop"), tracking.track(project, "srcnn", {}, "00"):
        raise RuntimeError("stop")
    mlflow = tracking.connect(project)
    assert mlflow.search_runs(experiment_names=["super-resolution"]).status.tolist() == ["FAILED"]


def test_settings_become_flat_parameters() -> None:
    assert tracking.flattened({"a": 1, "network": {"name": "rrdb", "deep": {"x": 2}}}) == {
        "a": 1,
        "network.name": "rrdb",
        "network.deep.x": 2,
    }


def test_a_model_that_is_recorded_late_keeps_the_commit_of_its_training(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "git_revision", lambda _: "today")
    tracking.initialise(project)
    record = replace(read_record(project.model("srcnn") / "run.json"), git_revision="then")
    run = tracking.connect(project).get_run(tracking.restore(project, record).run_id)
    assert run.data.tags["git_revision"] == "then"


def test_mlflow_tells_its_makers_nothing(tmp_path: Path) -> None:
    asked = "from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    connected = f"from components.adapters import tracking as t; t.connect(t.Layout()); {asked}"
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}  # it is silent, too, where CI or a test is named
    for command, own in ((connected, {}), (asked, mlflow_pages.environment(Layout(tmp_path))), (asked, DEFAULTS)):
        done = subprocess.run(
            [sys.executable, "-c", command], cwd=tmp_path, env=bare | own, capture_output=True, text=True
        )
        assert done.stdout == "True\n", done.stderr


def test_outside_git_there_is_no_revision(tmp_path: Path) -> None:
    assert tracking.git_revision(tmp_path) == ""
