"""What several tests share: one small project, drawn and trained once a session."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from components import train, train_classical
from components.adapters.tracking import connect
from components.handover import CLASSIFIER, GENERATORS, Layout
from components.handover.methods import CLASSICAL, GENERATIVE, WITH_GENERATED
from tests import prepared
from tests.hooks import *  # noqa: F403
from tests.settings import small


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks this small lose time to threads, most of all where something else computes."""
    torch.set_num_threads(1)


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Makes a folder of the given name once for all workers: the first that asks for it does, the others wait.

    Where that fails, the next one that asks begins anew.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        root, whole = shared / name, shared / f"{name}.whole"
        with FileLock(shared / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(root, ignore_errors=True)
                make(root)
                whole.touch()
        return root

    return folder


@pytest.fixture(scope="session")
def trained(once: Once) -> Layout:
    """A drawn project with every model trained for six steps, untracked. Copy it before changing anything."""
    return Layout(once("trained", train_all))


def train_all(root: Path) -> None:
    root.mkdir()
    prepared.super_resolution(root)
    layout = prepared.classification(root)
    for name in (CLASSIFIER, *GENERATORS, GENERATIVE, WITH_GENERATED):
        train.run(layout, small(), name, tracked=False)
    for name in CLASSICAL:
        train_classical.run(layout, small(), name, tracked=False)
    layout.mlruns.mkdir()
    with pytest.MonkeyPatch.context() as patch:  # MLflow takes a second to make the tables of an empty database
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(layout).get_experiment_by_name("none")


@pytest.fixture
def project(trained: Layout, tmp_path: Path) -> Layout:
    """The trained project, to do with as a test likes."""
    shutil.copytree(trained.root, tmp_path / "project")
    return Layout(tmp_path / "project")
