from __future__ import annotations

import csv

import pytest

from components import train_classical
from components.adapters.tracking import connect
from components.handover import CLASSIFIER, Layout, StepError, read_json, read_record, sha256_of
from components.handover.methods import CLASSICAL, GENERATIVE
from tests.settings import small


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_folder_holds_what_the_classifier_is_rebuilt_from(trained: Layout, name: str) -> None:
    folder = trained.model(name)
    record, config = read_record(folder / "run.json"), read_json(folder / "config.json")
    assert record.weights_sha256 == sha256_of(folder / "weights.safetensors") and record.seconds > 0
    assert config["training"]["recipe"] == "classical" and config["trained_on"]
    with (folder / "history.csv").open() as handle:
        lines = list(csv.DictReader(handle))
    assert [line["step"] for line in lines] == ["1", "2"]
    assert all(0 <= float(line["cross_validated_auroc"]) <= 1 for line in lines)


def test_the_same_settings_give_the_same_weights(project: Layout) -> None:
    before = read_record(project.model("classical_kmeans") / "run.json")
    again = train_classical.run(project, small(), "classical_kmeans", tracked=False)
    assert again.weights_sha256 == before.weights_sha256
    other = train_classical.run(project, small(classical_kmeans={"patch_size": 5}), "classical_kmeans", tracked=False)
    assert other.weights_sha256 != before.weights_sha256


def test_a_tracked_training_keeps_its_curve_and_its_model(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = train_classical.run(project, small(), "classical_svm")
    client = connect(project).MlflowClient()
    run = client.get_run(record.run_id)
    assert run.data.params["features"] == "handmade" and run.data.tags["data_sha256"] == record.data_sha256
    assert client.get_experiment(run.info.experiment_id).name == "classification"
    assert len(client.get_metric_history(record.run_id, "cross_validated_auroc")) == 2
    assert client.get_logged_model(record.model_id).source_run_id == record.run_id


def test_a_network_is_not_trained_here(trained: Layout) -> None:
    with pytest.raises(StepError, match="train classifier: expected a section with `recipe: classical`"):
        train_classical.run(trained, small(), "classifier", tracked=False)


def test_all_that_learn_from_the_same_images_name_them_alike(trained: Layout) -> None:
    names = (CLASSIFIER, GENERATIVE, *CLASSICAL)
    assert len({read_record(trained.model(name) / "run.json").data_sha256 for name in names}) == 1
