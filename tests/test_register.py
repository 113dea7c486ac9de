import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components import evaluate, evaluate_readers, register, train
from components.adapters import registry
from components.adapters.tracking import connect
from components.handover import GENERATORS, Layout, MethodSummary, read_record, read_rows
from components.learning.weights import load_weights
from components.params import Params
from tests.settings import small

LOW_BAR = {
    "floor_psnr_db": 0.0,
    "floor_ssim": 0.0,
    "gain_over_bicubic_db": -99.0,
    "gain_over_bicubic_ssim": -1.0,
    "classifier_floor_auroc": 0.0,
    "reader_cost_auroc": 1.0,
    "reader_agreement": 0.0,
}


@pytest.fixture(scope="module")
def evaluated(trained: Layout, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("evaluated") / "project"
    shutil.copytree(trained.root, root)
    evaluate.run(Layout(root), small())
    evaluate_readers.run(Layout(root), small())
    return Layout(root)


@pytest.fixture
def layout(evaluated: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(evaluated.root, tmp_path / "project")
    return Layout(tmp_path / "project")


def lenient() -> Params:
    """A policy that six steps of training can pass."""
    params = small()
    return replace(params, promote=replace(params.promote, **LOW_BAR))


def test_the_first_candidates_are_promoted_and_running_again_changes_nothing(layout: Layout) -> None:
    params = lenient()
    first = register.run(layout, params)
    assert [decision.outcome for decision in first] == ["promoted", "promoted"]
    best = max((r for r in read_rows(layout.sr_summary, MethodSummary) if r.method != "bicubic"), key=_psnr)
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.method == best.method
    assert champion.weights_sha256 == read_record(layout.model(best.method) / "run.json").weights_sha256
    again = register.run(layout, params)
    assert [decision.outcome for decision in again] == ["unchanged", "unchanged"]
    assert len(registry.list_versions(layout, "sr-generator")) == 1
    assert len(register.history(layout)) == 2


def test_the_champion_loads_by_alias_as_ours_and_as_any_pyfunc(layout: Layout) -> None:
    register.run(layout, lenient())
    generator = registry.load_generator(layout)
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None
    network, _ = load_weights(layout.model(champion.method))
    image = torch.rand(1, 1, 9, 11)
    with torch.inference_mode():
        torch.testing.assert_close(generator.network(image), network(image))
    served = connect(layout).pyfunc.load_model("models:/sr-generator@champion").predict(image.numpy())
    assert served.shape == (1, 1, 36, 44)
    np.testing.assert_allclose(served, network(image).detach().numpy(), atol=1e-5)


def test_a_candidate_that_fails_the_policy_is_registered_as_challenger_and_the_reason_kept(layout: Layout) -> None:
    decisions = register.run(layout, small())
    assert decisions[0].outcome == "refused" and "not promoted" in decisions[0].summary
    assert registry.by_alias(layout, "sr-generator", "champion") is None
    assert registry.by_alias(layout, "sr-generator", "challenger") is not None
    register.run(layout, small())
    generator_entries = [entry for entry in register.history(layout) if entry["model"] == "sr-generator"]
    assert len(generator_entries) == 1 and len(registry.list_versions(layout, "sr-generator")) == 1


def test_a_better_generator_takes_over_and_a_worse_one_does_not(layout: Layout) -> None:
    params = lenient()
    register.run(layout, params)
    train.run(layout, small(rrdb={"steps": 40, "rate": 2e-3}), "rrdb", tracked=False)
    evaluate.run(layout, small())
    better = register.run(layout, lenient())[0]
    assert (better.outcome, better.method, better.replaced) == ("promoted", "rrdb", "1")
    previous = registry.by_alias(layout, "sr-generator", "previous")
    assert previous is not None and previous.number == "1"
    for name in GENERATORS:
        train.run(layout, small(**{name: {"steps": 1}}), name, tracked=False)
    evaluate.run(layout, small())
    worse = register.run(layout, lenient())[0]
    assert worse.outcome == "refused" and worse.failed[0].rule.startswith("PSNR over the champion")
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.number == "2"


def test_an_untracked_training_is_recorded_from_its_folder(layout: Layout) -> None:
    register.run(layout, lenient())
    mlflow = connect(layout)
    runs = mlflow.search_runs(experiment_names=["super-resolution", "classification"], output_format="list")
    assert {run.info.run_name for run in runs} == {*GENERATORS, "classifier"}
    rrdb = next(run for run in runs if run.info.run_name == "rrdb")
    assert rrdb.data.tags["restored_from"] == "an untracked training"
    assert rrdb.data.params["network.growth_channels"] == "4"
    assert "held_out_psnr_db_mean" in rrdb.data.metrics
    names = {item.path for item in mlflow.MlflowClient().list_artifacts(rrdb.info.run_id, "evaluation")}
    assert "evaluation/S1-rrdb.png" in names
    curve = mlflow.MlflowClient().get_metric_history(rrdb.info.run_id, "pixel_loss")
    assert [point.step for point in curve] == [1, 2, 3, 4, 5, 6]


def _psnr(row: MethodSummary) -> float:
    return row.psnr_db_mean
