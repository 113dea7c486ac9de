"""What several tests share: one small project, drawn and trained once a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from components import train, train_classical
from components.handover import CLASSIFIER, GENERATORS, Layout
from components.reader_rows import CLASSICAL, GENERATIVE, WITH_EXTRA
from tests import prepared
from tests.settings import small


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose time to threads, most of all where something else computes; stages inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A drawn project with every network trained for six steps, untracked. Copy it before changing anything."""
    root = tmp_path_factory.mktemp("trained")
    prepared.super_resolution(root)
    layout = prepared.classification(root)
    for name in (CLASSIFIER, *GENERATORS, GENERATIVE, WITH_EXTRA):
        train.run(layout, small(), name, tracked=False)
    for name in CLASSICAL:
        train_classical.run(layout, small(), name, tracked=False)
    return layout


@pytest.fixture
def project(trained: Layout, tmp_path: Path) -> Layout:
    """The trained project, to do with as a test likes."""
    shutil.copytree(trained.root, tmp_path / "project")
    return Layout(tmp_path / "project")
