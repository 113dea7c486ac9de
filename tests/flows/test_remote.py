"""Results shared through a bucket: pushed in one clone, pulled in another, as `infra/README.md` tells it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.stages import Outcome, Result, read_graph, run_stage, stale
from tests.object_store import ObjectStore, served

pytestmark = pytest.mark.service

GRAPH = """\
stages:
  prepare:
    cmd: mkdir prepared; cp in.txt prepared/a.txt; echo prepare >> "$RAN"
    deps: [in.txt]
    outs: [prepared]
  train:
    cmd: mkdir model; cat prepared/a.txt params.yaml > model/weights; echo train >> "$RAN"
    deps: [prepared]
    params: [steps]
    outs: [model]
  score:
    cmd: cp model/weights table.csv; grep steps params.yaml > scores.yaml; echo score >> "$RAN"
    deps: [model]
    outs: [table.csv]
    metrics: [scores.yaml: {cache: false}]
"""
STAGES = ("prepare", "train", "score")
RESULTS = ("prepared/a.txt", "model/weights", "table.csv", "scores.yaml")
AUTHOR = ("-c", "user.name=Roe", "-c", "user.email=roe@localhost")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    with served(tmp_path) as store:
        yield store


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every command of a stage leaves its name."""
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return tmp_path / "ran"


@pytest.fixture
def origin(tmp_path: Path, store: ObjectStore, ran: Path) -> Path:
    """A project with a remote, run and committed."""
    root = tmp_path / "origin"
    root.mkdir()
    call(root, "git", "init", "--quiet")
    dvc(root, "init", "--quiet")
    for setting in store.settings():
        dvc(root, "remote", *setting)
    (root / "dvc.yaml").write_text(GRAPH)
    (root / "in.txt").write_text("hello\n")
    (root / "params.yaml").write_text("steps: 1\n")
    dvc(root, "repro")
    commit(root)
    assert ran.read_text().split() == list(STAGES)
    ran.unlink()
    return root


def call(root: Path, *command: str, expect: int = 0) -> str:
    """What the command printed; its exit code has to be `expect`."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(root: Path, *arguments: str, expect: int = 0) -> str:
    return call(root, sys.executable, "-m", "dvc", *arguments, expect=expect)


def commit(root: Path) -> None:
    call(root, "git", "add", ".")
    call(root, "git", *AUTHOR, "commit", "--quiet", "-m", "a run")


def cloned(origin: Path) -> Path:
    fresh = origin.parent / "fresh"
    call(origin, "git", "clone", "--quiet", str(origin), str(fresh))
    return fresh


def run_all(root: Path) -> list[Result]:
    return [run_stage(root, stage, print, threading.Event()) for stage in read_graph(root)]


def results(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in RESULTS}


def test_a_fresh_clone_that_pulls_has_every_result_and_runs_nothing(origin: Path, ran: Path) -> None:
    dvc(origin, "push", "--run-cache")
    fresh = cloned(origin)
    assert set(stale(fresh)) == set(STAGES), "nothing but what git keeps is there before"
    dvc(fresh, "pull", "--run-cache")
    assert results(fresh) == results(origin)
    assert stale(fresh) == {}
    assert "up to date" in dvc(fresh, "status")
    assert "Running stage" not in dvc(fresh, "repro")
    assert run_all(fresh) == [Result(name, Outcome.CACHED, changed=False) for name in STAGES]
    assert not ran.exists()


def test_a_setting_changed_back_trains_nothing_in_a_fresh_clone_and_scores_again(origin: Path, ran: Path) -> None:
    """What git keeps instead of DVC (`cache: false`) is not pushed, so that the stage which writes it runs."""
    (origin / "params.yaml").write_text("steps: 2\n")
    dvc(origin, "repro")
    commit(origin)
    ran.unlink()
    dvc(origin, "push", "--run-cache", "--all-commits")
    fresh = cloned(origin)
    dvc(fresh, "pull", "--run-cache", "--all-commits")
    for root in (fresh, origin):
        (root / "params.yaml").write_text("steps: 1\n")
    assert run_all(fresh) == [
        Result("prepare", Outcome.CACHED, changed=False),
        Result("train", Outcome.CACHED, changed=True),
        Result("score", Outcome.DONE, changed=True),
    ]
    assert ran.read_text().split() == ["score"]
    assert [result.outcome for result in run_all(origin)] == [Outcome.CACHED] * 3, "it has the scores in its cache"
    assert results(fresh) == results(origin)
    assert b"steps: 1" in results(fresh)["model/weights"]


def test_a_remote_out_of_reach_holds_up_no_run_and_is_named_by_pull(
    origin: Path, store: ObjectStore, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvc(origin, "push")
    store.stop()
    assert [result.outcome for result in run_all(origin)] == [Outcome.CACHED] * 3
    assert not ran.exists()
    (origin / "params.yaml").write_text("steps: 3\n")
    assert [result.outcome for result in run_all(origin)] == [Outcome.CACHED, Outcome.DONE, Outcome.DONE]
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # it tries for up to a minute
    said = dvc(cloned(origin), "pull", expect=1)
    assert f'Could not connect to the endpoint URL: "{store.address}' in said


def test_what_was_changed_in_the_bucket_is_refused_where_the_remote_is_verified(
    origin: Path, store: ObjectStore
) -> None:
    dvc(origin, "remote", "modify", "store", "verify", "true")
    commit(origin)
    dvc(origin, "push")
    weights = results(origin)["model/weights"]
    (key,) = (key for key, held in store.content().items() if held == weights and key.startswith("medsr/files"))
    store.put(key, b"others")
    fresh = cloned(origin)
    dvc(fresh, "pull", expect=1)
    assert not (fresh / "model" / "weights").exists()
