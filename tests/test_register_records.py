"""What registration leaves in MLflow: runs, cards and lineage, also where it is killed or MLflow is away."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from components import register
from components.adapters import registry
from components.adapters.tracking import Unreachable, connect
from components.handover import GENERATORS, Layout, read_rows, write_rows
from components.handover.methods import CLASSIFIERS, GENERATIVE
from components.handover.sr_rows import MethodSummary
from tests.evaluated import evaluated, layout, recorded, unrecorded
from tests.settings import lenient

__all__ = ["evaluated", "layout", "recorded", "unrecorded"]  # fixtures


def test_every_version_has_a_card_and_new_evidence_brings_it_up_to_date(layout: Layout) -> None:
    register.run(layout, lenient())
    client = connect(layout).MlflowClient()
    summary = {line.method: line for line in read_rows(layout.sr_summary, MethodSummary)}
    for name in ("sr-generator", "classifier"):
        (version,) = registry.list_versions(layout, name)
        card = (registry.folder_of(layout, version).parents[1] / "model_card.md").read_text()
        assert card.startswith(f"# {name} 1: ") and version.weights_sha256 in card
        assert client.get_model_version(name, "1").description == card
    own = summary[registry.list_versions(layout, "sr-generator")[0].method]
    moved = replace(own, psnr_db_low=own.psnr_db_low - 1)
    write_rows(layout.sr_summary, MethodSummary, [moved if line == own else line for line in summary.values()])
    assert register.run(layout, lenient())[0].outcome == "unchanged"
    card = client.get_model_version("sr-generator", "1").description
    assert f"[{moved.psnr_db_low:.2f}, " in card and f"[{own.psnr_db_low:.2f}, " not in card


def test_a_kill_on_the_way_to_a_version_leaves_none_without_its_lineage(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    (layout.root / "dvc.lock").write_text("stages: {}\n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for module, name in ((registry, "attach"), (registry, "register"), (registry, "describe")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, killed)
            register.run(layout, lenient())
        assert all(version.traced for version in registry.list_versions(layout, "sr-generator")), name
    assert registry.aliases(layout, "sr-generator") == {}
    assert register.run(layout, lenient())[0].outcome == "promoted"


def test_a_version_that_lacks_its_lineage_gets_it_by_the_next_run(layout: Layout) -> None:
    register.run(layout, lenient())
    (layout.root / "dvc.lock").write_text("stages: {}\n")
    assert not registry.list_versions(layout, "sr-generator")[0].traced
    assert register.run(layout, lenient())[0].outcome == "unchanged"
    (version,) = registry.list_versions(layout, "sr-generator")
    assert version.traced
    assert (registry.folder_of(layout, version).parents[1] / "lineage" / "dvc.lock").is_file()


def test_an_untracked_training_is_recorded_from_its_folder(unrecorded: Layout) -> None:
    layout = unrecorded
    register.run(layout, lenient())
    mlflow = connect(layout)
    runs = mlflow.search_runs(experiment_names=["super-resolution", "classification"], output_format="list")
    assert {run.info.run_name for run in runs} == {*GENERATORS, *CLASSIFIERS, GENERATIVE}
    rrdb = next(run for run in runs if run.info.run_name == "rrdb")
    assert rrdb.data.tags["restored_from"] == "an untracked training"
    assert rrdb.data.params["network.growth_channels"] == "4"
    assert "held_out_psnr_db_mean" in rrdb.data.metrics
    names = {item.path for item in mlflow.MlflowClient().list_artifacts(rrdb.info.run_id, "evaluation")}
    assert "evaluation/S1-rrdb.png" in names
    curve = mlflow.MlflowClient().get_metric_history(rrdb.info.run_id, "pixel_loss")
    assert [point.step for point in curve] == [1, 2, 3, 4, 5, 6]


def test_registration_without_the_server_says_where_it_was_sought_and_is_made_up_for(
    unrecorded: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        away.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(Unreachable, match=r"(?s)MLflow at http://127.0.0.1:9: .*Nothing that was trained is lost"):
            register.run(unrecorded, lenient())
    assert [decision.outcome for decision in register.run(unrecorded, lenient())] == ["promoted", "promoted"]


def test_registration_waits_for_a_held_database_and_otherwise_says_so_and_does_nothing_by_half(
    unrecorded: Layout,
) -> None:
    layout = unrecorded
    (layout.mlruns / "mlflow.db").unlink()
    with closing(sqlite3.connect(layout.mlruns / "mlflow.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreachable, match="database is locked"):
            register.run(layout, lenient())
        release = threading.Timer(2, other.execute, ("ROLLBACK",))
        release.start()
        assert [decision.outcome for decision in register.run(layout, lenient())] == ["promoted", "promoted"]
        release.join()
    assert [len(registry.list_versions(layout, name)) for name in ("sr-generator", "classifier")] == [1, 1]
    runs = connect(layout).search_runs(experiment_names=["super-resolution", "classification"], output_format="list")
    assert len(runs) == len({run.info.run_name for run in runs})
