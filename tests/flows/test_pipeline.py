"""What a run does, stage by stage, and what it says of it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from components.handover import StepError
from flows import pipeline, tasks
from flows.board import Board
from flows.stages import Outcome, Result, read_graph, stale
from tests.flows.conftest import PROJECT, alive, ending, eventually, written_pid
from tests.flows.toy_runs import Toy, registered, run, table

pytestmark = pytest.mark.service

__all__ = ["registered"]  # fixtures


def test_a_run_that_ends_well_says_where_its_page_is(toy: Toy, prefect_server: str, registered: list[Path]) -> None:
    root = toy('report: {cmd: "mkdir -p data/reports && echo page > data/reports/report.html", outs: [data/reports]}')
    code, text = run(root)
    assert code == 0 and f"Open {(root / 'data/reports/report.html').resolve()};" in text


def test_all_is_done_then_all_is_cached_without_a_process(
    toy: Toy, prefect_server: str, registered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = toy(
        """
        second: {cmd: "cat a.txt > b.txt", deps: [a.txt], outs: [b.txt]}
        first: {cmd: "echo hello; echo 1 > a.txt", outs: [a.txt]}
        """
    )
    code, text = run(root)
    assert code == 0
    assert table(text) == {"first": "done", "second": "done", "register": "done"}
    assert "first    │ hello" in text
    assert "esrgan 1 looked at" in text
    assert "Open" not in text, "there is no page"
    monkeypatch.setattr("flows.process_group.run", lambda *_: pytest.fail("a process was started"))
    code, text = run(root)
    assert code == 0
    assert table(text) == {"first": "cached", "second": "cached", "register": "cached"}
    assert registered == [root, root]


def test_a_stage_whose_input_came_out_the_same_is_not_run_again(
    toy: Toy, prefect_server: str, registered: list[Path]
) -> None:
    root = toy(
        """
        first: {cmd: "wc -l < in.txt > a.txt", deps: [in.txt], outs: [a.txt]}
        second: {cmd: "cat a.txt >> log; cp a.txt b.txt", deps: [a.txt], outs: [b.txt]}
        """
    )
    (root / "in.txt").write_text("one\n")
    run(root)
    (root / "in.txt").write_text("other\n")
    assert table(run(root)[1]) == {"first": "done", "second": "cached", "register": "cached"}
    assert (root / "log").read_text().count("1") == 1


def test_accelerated_stages_run_one_at_a_time(toy: Toy, prefect_server: str, registered: list[Path]) -> None:
    root = toy(
        """
        train:
          foreach: [x, y]
          do:
            cmd: mkdir taken && sleep 1 && rmdir taken && echo 1 > ${item}.txt
            outs: ["${item}.txt"]
            meta: {accelerator: true}
        """
    )
    assert table(run(root)[1]) == {"train@x": "done", "train@y": "done", "register": "done"}


def test_other_stages_run_side_by_side(toy: Toy, prefect_server: str, registered: list[Path]) -> None:
    meet = "touch {}; for i in $(seq 600); do test -e {} && exit 0; sleep 0.1; done; exit 1"
    root = toy(f"x: {{cmd: '{meet.format('x', 'y')}'}}\ny: {{cmd: '{meet.format('y', 'x')}'}}")
    assert table(run(root)[1]) == {"x": "done", "y": "done", "register": "done"}


def test_prefect_knows_of_the_run_and_its_lines(toy: Toy, prefect_server: str, registered: list[Path]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    run(toy('only: {cmd: "echo 1; exit 1"}'))
    with get_client(sync_client=True) as client:
        (newest,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert newest.state_name == "Failed"
    assert newest.state.message == "only failed, exit code 1:\n  1", "the stage's own last lines"
    assert newest.parameters == {"profile": "quick", "force": False, "dry_run": False}


def test_interrupting_ends_the_stage_and_says_so(toy: Toy, prefect_server: str) -> None:
    root = toy('slow: {cmd: "sleep 600 & echo $! > pid; wait"}')
    script = (
        "import signal, sys; from pathlib import Path; from components.adapters import tracking\n"
        "from flows import pipeline\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a test run in the background ignores it
        "tracking.initialise = lambda layout: None; sys.exit(pipeline.run_pipeline(Path()))"
    )
    environment = os.environ | {"PREFECT_API_URL": prefect_server}
    command = [sys.executable, "-c", script]
    with ending(subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)) as flow:
        assert eventually((root / "pid").exists, 180)
        grandchild = written_pid(root / "pid")
        flow.send_signal(signal.SIGINT)
        shown, _ = flow.communicate(timeout=300)
    assert flow.returncode == 1
    assert "Interrupted" in shown
    assert eventually(lambda: not alive(grandchild), 20)


def test_the_flow_has_one_task_per_stage_of_the_project() -> None:
    from dvc.repo import Repo

    with Repo(str(PROJECT)) as repository:
        stages = {stage.name for stage in repository.index.stages if stage.cmd}
    graph = tuple(read_graph(PROJECT))
    session = pipeline.Session(PROJECT, graph, {}, Board(Console(file=io.StringIO()), graph), threading.Event(), True)
    tasks = pipeline.stage_tasks(session)
    assert set(tasks) - {pipeline.REGISTER} == stages
    assert {name: task.name for name, task in tasks.items()} == {name: name for name in tasks}


@pytest.fixture
def failing(toy: Toy, prefect_server: str, registered: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project in which a worker starts the flow; its second stage fails where `broken` is."""
    root = toy(
        """
        first: {cmd: "echo 1 >> ran; echo 1 > a.txt", outs: [a.txt]}
        second: {cmd: "echo because; test ! -e broken", deps: [a.txt]}
        """
    )
    monkeypatch.chdir(root)
    return root


def test_a_worker_s_run_gives_its_results_and_fails_with_the_stage_s_own_lines(failing: Path) -> None:
    names, done, cached = ("first", "second", "register"), [Outcome.DONE] * 3, [Outcome.CACHED] * 3
    assert [(result.stage, result.outcome) for result in pipeline.pipeline()] == list(zip(names, done, strict=True))
    assert [result.outcome for result in pipeline.pipeline()] == cached
    assert [result.outcome for result in pipeline.pipeline(force=True)][:2] == done[:2]
    assert (failing / "ran").read_text() == "1\n1\n"
    (failing / "broken").touch()
    state = pipeline.pipeline(force=True, return_state=True)
    assert state.is_failed() and state.message == "second failed, exit code 1:\n  because"


def test_a_dry_run_says_what_would_run_and_runs_nothing(failing: Path) -> None:
    results = pipeline.pipeline(dry_run=True)
    assert [(result.stage, result.outcome) for result in results] == [
        ("first", Outcome.WOULD_RUN),
        ("second", Outcome.WOULD_RUN),
    ]
    assert results[0].message == "a.txt deleted" and not (failing / "ran").exists()
    with pytest.raises(StepError, match="expected profile full for a dry run with it, found quick"):
        pipeline.pipeline(profile="full", dry_run=True)


def test_a_form_for_the_flow_can_be_made_of_its_parameters() -> None:
    properties = pipeline.pipeline.parameters.properties
    assert {name: one["default"] for name, one in properties.items()} == {
        "profile": None,
        "force": False,
        "dry_run": False,
    }
    assert properties["profile"]["anyOf"][0]["enum"] == ["quick", "full"]


def test_changing_the_profile_changes_that_word_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (PROJECT / "params.yaml").read_text().replace("profile: full", "profile: quick")
    path.write_text(before)
    assert pipeline.set_profile(path, "full") == "params.yaml: profile changed from quick to full"
    assert path.read_text() == before.replace("profile: quick", "profile: full", 1)
    assert pipeline.set_profile(path, "full") == "params.yaml: profile is full already"


def test_settings_without_a_profile_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="found no file"):
        pipeline.set_profile(tmp_path / "params.yaml", "full")
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(StepError, match="profile: full"):
        pipeline.set_profile(tmp_path / "params.yaml", "full")


def test_a_stage_that_needs_nothing_new_is_cached_without_asking_dvc(toy: Toy) -> None:
    root = toy('only: {cmd: "echo 1 > a.txt", outs: [a.txt]}')
    (stage,) = read_graph(root)
    assert "only" in stale(root)
    board = Board(Console(file=io.StringIO()), (stage,))
    session = pipeline.Session(root, (stage,), {}, board, threading.Event(), embedded=False)
    assert tasks._up_to_date(session, stage, [Result("before", Outcome.CACHED)]).outcome is Outcome.CACHED
