"""The trained project after its evaluation, with and without its runs in MLflow."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from components import evaluate, evaluate_classifiers
from components.adapters import tracking, training_runs
from components.handover import GENERATORS, Layout, read_record
from components.handover.methods import CLASSIFIERS, GENERATIVE
from components.handover.names import DATABASE
from tests import tables
from tests.conftest import Once
from tests.settings import small


@pytest.fixture(scope="session")
def evaluated(once: Once, trained: Layout) -> Layout:
    """The trained project with its scores and predictions. Copy it before changing anything."""

    def evaluate_all(root: Path) -> None:
        shutil.copytree(trained.root, root)
        evaluate.run(Layout(root), small())
        evaluate_classifiers.run(Layout(root), small())
        tables.write_data(Layout(root))

    return Layout(once("evaluated", evaluate_all))


@pytest.fixture
def unrecorded(evaluated: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The evaluated project, of which MLflow knows nothing."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(evaluated.root, tmp_path / "project")
    return Layout(tmp_path / "project")


@pytest.fixture(scope="module")
def recorded(evaluated: Layout, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The evaluated project with a run in MLflow for every model; nothing is registered."""
    layout = Layout(tmp_path_factory.mktemp("recorded") / "project")
    shutil.copytree(evaluated.root, layout.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.initialise(layout)
        for name in (*GENERATORS, *CLASSIFIERS, GENERATIVE):
            training_runs.restore(layout, read_record(layout.model(name) / "run.json"))
    shutil.copytree(layout.root, layout.root.with_name("kept"))
    return layout


@pytest.fixture
def layout(recorded: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """The recorded project, which is as it was again after the test; MLflow's records name its place."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield recorded
    kept = Layout(recorded.root.with_name("kept"))
    for folder in (recorded.data, recorded.mlruns):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != DATABASE:
                path.unlink()
    (recorded.root / "dvc.lock").unlink(missing_ok=True)
    shutil.copytree(kept.root, recorded.root, ignore=shutil.ignore_patterns(DATABASE), dirs_exist_ok=True)
    # in place: MLflow keeps its connections
    source, target = (sqlite3.connect(one.mlruns / DATABASE) for one in (kept, recorded))
    with closing(source), closing(target):
        source.backup(target)
