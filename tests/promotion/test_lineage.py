from pathlib import Path

import pytest

from components.adapters import registry, tracking, training_runs
from components.adapters.registry import GENERATOR
from components.handover import Layout, read_record, sha256_of
from components.promotion import lineage


@pytest.fixture
def layout(project: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.initialise(project)
    return project


def test_what_a_version_was_made_from_is_stored_with_it_and_outlives_a_change_of_the_folder(layout: Layout) -> None:
    lock = layout.root / "dvc.lock"
    lock.write_text("stages:\n  train@rrdb:\n    outs: [{path: data/models/rrdb, md5: abc}]\n")
    (layout.root / "params.yaml").write_text("seed: 1\n")
    before = sha256_of(lock)
    record = training_runs.restore(layout, read_record(layout.model("rrdb") / "run.json"))
    registry.register(layout, GENERATOR, record, lineage.keep(layout, record.model_id))
    lock.unlink()
    (layout.root / "params.yaml").write_text("seed: 2\n")
    (version,) = registry.list_versions(layout, GENERATOR)
    assert before in version.made_of
    folder = Path(registry.folder_of(layout, version).parents[1], "lineage")
    assert {path.name for path in folder.iterdir()} == {"dvc.lock", "params.yaml", "environment.json"}
    assert (folder / "params.yaml").read_text() == "seed: 1\n"
    chain = lineage.trace(layout, version)
    assert chain.stage == {"data/models/rrdb": "abc"} and chain.parameters["network.name"] == "rrdb"
    assert chain.environment["python"].count(".") == 2 and chain.environment["packages"]["torch"]


def test_what_is_missing_is_completed_and_what_is_there_stays_as_it_was(layout: Layout) -> None:
    lock = layout.root / "dvc.lock"
    lock.write_text("stages: {}\n")
    first = sha256_of(lock)
    record = training_runs.restore(layout, read_record(layout.model("rrdb") / "run.json"))
    version = registry.register(layout, GENERATOR, record, {})
    assert not version.traced
    for content in ("stages: {}\n", "stages: {later: {cmd: run}}\n"):
        lock.write_text(content)
        lineage.complete(layout, registry.list_versions(layout, GENERATOR)[0])
    (version,) = registry.list_versions(layout, GENERATOR)
    assert version.traced and first in version.made_of
    assert sha256_of(registry.folder_of(layout, version).parents[1] / "lineage" / "dvc.lock") == first


def test_a_version_without_any_is_shown_with_what_is_known(layout: Layout) -> None:
    record = training_runs.restore(layout, read_record(layout.model("rrdb") / "run.json"))
    chain = lineage.trace(layout, registry.register(layout, GENERATOR, record, {}))
    assert chain.stage == {} and chain.environment == {} and chain.promotions == []
    assert chain.lines()[0] == "sr-generator 1 (rrdb)" and any(record.weights_sha256 in line for line in chain.lines())
