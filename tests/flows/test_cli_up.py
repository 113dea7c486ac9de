from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from components.handover import Layout
from flows import cli_up, project_lock
from flows.cli import main
from tests.flows.test_cli import medsr


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project in which nothing runs is the current folder."""
    monkeypatch.chdir(tmp_path)


def test_the_commands_are_there() -> None:
    assert [main.commands[name] for name in ("up", "down", "status", "deploy")] == [
        cli_up.up,
        cli_up.down,
        cli_up.status,
        cli_up.deploy,
    ]


def test_ending_what_does_not_run_is_no_failure() -> None:
    answer = medsr("down")
    assert (answer.exit_code, answer.stdout) == (0, "Nothing runs here.\n")
    assert list(Path().iterdir()) == []


def test_where_nothing_runs_status_says_so_and_fails() -> None:
    answer = medsr("status")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines() == [
        "service         state        address  log",
        "Prefect server  not started  –        –",
        "worker          not started  –        –",
        "MLflow          not started  –        –",
        "",
        "medsr up: does not run here",
        "at work: nobody",
    ]
    assert list(Path().iterdir()) == []


def test_status_in_json_and_who_is_at_work() -> None:
    with project_lock.hold(Layout().run_lock, "medsr run", {"profile": "quick"}):
        told = json.loads(medsr("status", "--json").stdout)
        assert f"at work: process {os.getpid()} on " in medsr("status").stdout
    assert set(told) == {"up", "at_work", "services", "deployments"}
    assert told["up"] is None and told["deployments"] == []
    assert (told["at_work"]["pid"], told["at_work"]["command"]) == (os.getpid(), "medsr run")
    assert [set(service) for service in told["services"]] == [{"service", "state", "address", "log"}] * 3
