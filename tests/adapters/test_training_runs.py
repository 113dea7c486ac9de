from dataclasses import replace
from pathlib import Path

import pytest

from components import train
from components.adapters import tracking, training_runs
from components.handover import Layout, read_record
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
    assert training_runs.restore(project, record) is record
    assert (project.mlruns / "mlflow.db").is_file() and any((project.mlruns / "artifacts").rglob("weights.safetensors"))


def test_a_training_that_fails_ends_its_run_as_failed(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RuntimeError, match="stop"), training_runs.track(project, "srcnn", {}, "00"):
        raise RuntimeError("stop")
    mlflow = tracking.connect(project)
    assert mlflow.search_runs(experiment_names=["super-resolution"]).status.tolist() == ["FAILED"]


def test_settings_become_flat_parameters() -> None:
    assert training_runs.flattened({"a": 1, "network": {"name": "rrdb", "deep": {"x": 2}}}) == {
        "a": 1,
        "network.name": "rrdb",
        "network.deep.x": 2,
    }


def test_a_model_that_is_recorded_late_keeps_the_commit_of_its_training(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(training_runs, "git_revision", lambda _: "today")
    tracking.initialise(project)
    record = replace(read_record(project.model("srcnn") / "run.json"), git_revision="then")
    run = tracking.connect(project).get_run(training_runs.restore(project, record).run_id)
    assert run.data.tags["git_revision"] == "then"


def test_outside_git_there_is_no_revision(tmp_path: Path) -> None:
    assert training_runs.git_revision(tmp_path) == ""
