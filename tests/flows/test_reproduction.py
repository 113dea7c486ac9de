from __future__ import annotations

import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from components.adapters import registry, tracking, training_runs
from components.adapters.registry import GENERATOR
from components.handover import Layout, StepError, read_record
from components.promotion import lineage
from flows import reproduction
from flows.reproduction import Reproduction


def registered(layout: Layout) -> registry.Version:
    tracking.initialise(layout)
    trained = replace(
        read_record(layout.model("srcnn") / "run.json"), git_revision=training_runs.git_revision(layout.root)
    )
    record = training_runs.restore(layout, trained)
    return registry.register(layout, GENERATOR, record, lineage.keep(layout, record.model_id))


def test_a_version_without_its_commit_cannot_be_made_again(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(StepError, match=r"sr-generator 1: expected the commit and dvc\.lock .* found none"):
        reproduction.reproduce(project, registered(project), print)


def test_a_commit_that_is_gone_is_named(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    author = ("-c", "user.name=Roe", "-c", "user.email=roe@localhost")
    (project.root / "dvc.lock").write_text("stages: {}\n")
    for command in (("init", "--quiet"), ("add", "dvc.lock"), (*author, "commit", "--quiet", "-m", "a run")):
        subprocess.run(("git", *command), cwd=project.root, check=True)
    version = registered(project)
    subprocess.run(("git", *author, "commit", "--quiet", "--amend", "-m", "another"), cwd=project.root, check=True)
    for command in (("reflog", "expire", "--expire=now", "--all"), ("gc", "--quiet", "--prune=now")):
        subprocess.run(("git", *command), cwd=project.root, check=True)
    with pytest.raises(StepError, match=r"expected commit [0-9a-f]{12}, git says"):
        reproduction.reproduce(project, version, print)


def test_how_far_weights_are_apart_is_measured(tmp_path: Path) -> None:
    for name, value in (("one", [1.0, 2.0]), ("other", [1.0, 2.5]), ("longer", [1.0, 2.0, 3.0])):
        save_file({"weight": torch.tensor(value)}, tmp_path / name)
    assert reproduction._largest_difference(tmp_path / "one", tmp_path / "one") == 0.0
    assert reproduction._largest_difference(tmp_path / "one", tmp_path / "other") == 0.5
    assert reproduction._largest_difference(tmp_path / "one", tmp_path / "longer") == math.inf


def test_what_differs_is_told_with_the_packages_that_may_be_why() -> None:
    then = {"python": "3.11.2", "platform": "linux x86_64", "packages": {"torch": "2.12.0", "numpy": "2.4.6"}}
    now = {"python": "3.11.2", "platform": "linux x86_64", "packages": {"torch": "2.13.0", "numpy": "2.4.6", "x": "1"}}
    changed = reproduction._differences(then, now)
    found = Reproduction(GENERATOR, "1", "rrdb", False, "a" * 64, "b" * 64, 0.25, changed, 12.0)
    assert found.lines() == [
        "sr-generator 1 (rrdb): other weights, bbbbbbbbbbbb instead of aaaaaaaaaaaa; made in 12 s",
        "  no weight differs by more than 0.25",
        "  torch: 2.12.0 then, 2.13.0 now",
        "  x: absent then, 1 now",
    ]
    assert json.loads(json.dumps(changed))["torch"] == ["2.12.0", "2.13.0"]
