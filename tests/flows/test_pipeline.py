from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from components.adapters.tracking import Unreachable
from components.handover import Layout, StepError
from flows import pipeline
from flows.board import Board
from flows.stages import Outcome, Result, read_graph, stale
from tests.flows.conftest import PROJECT, alive, ending, eventually, written_pid

pytestmark = pytest.mark.service

Toy = Callable[[str], Path]


@dataclass
class Decision:
    outcome: str
    summary: str


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands for MLflow and the evidence: the roots that were registered; the second time nothing is new."""
    roots: list[Path] = []

    def run(layout: Layout, settings: object) -> list[Decision]:
        roots.append(layout.root)
        return [Decision("promoted" if len(roots) == 1 else "unchanged", "esrgan 1 looked at")]

    monkeypatch.setattr("components.register.run", run)
    monkeypatch.setattr("flows.artifacts.publish", lambda layout, decisions: None)
    monkeypatch.setattr("components.adapters.tracking.initialise", lambda layout: None)
    return roots


def run(root: Path) -> tuple[int, str]:
    """Exit code and what the terminal showed."""
    stream = io.StringIO()
    code = pipeline.run_pipeline(root, console=Console(file=stream, width=100))
    return code, stream.getvalue()


def table(text: str) -> dict[str, str]:
    """The result of each stage, read from the table at the end."""
    rows = [line.split() for line in text.partition("seconds")[2].splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[1] in set(Outcome)}


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


def test_what_needs_a_failed_stage_is_skipped_and_the_rest_goes_on(
    toy: Toy, prefect_server: str, registered: list[Path]
) -> None:
    root = toy(
        """
        broken: {cmd: "echo out of paper; exit 3", outs: [a.txt]}
        needs: {cmd: "cat a.txt > b.txt", deps: [a.txt], outs: [b.txt]}
        needs_that: {cmd: "cat b.txt > c.txt", deps: [b.txt], outs: [c.txt]}
        apart: {cmd: "echo 1 > d.txt", outs: [d.txt]}
        """
    )
    code, text = run(root)
    assert code == 1
    assert table(text) == {
        "broken": "failed",
        "needs": "skipped",
        "needs_that": "skipped",
        "apart": "done",
        "register": "skipped",
    }
    assert text.endswith("\nbroken failed, exit code 3:\n  out of paper\n")
    assert not registered


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


def test_only_a_failure_of_the_outside_is_tried_again(toy: Toy, prefect_server: str, registered: list[Path]) -> None:
    root = toy(
        """
        outside: {cmd: "echo 1 >> tries; test $(wc -l < tries) = 2 || exit 75", meta: {retries: 2, retry_after_s: 0}}
        own: {cmd: "echo 1 >> own.tries; exit 1", meta: {retries: 2, retry_after_s: 0}}
        """
    )
    results = table(run(root)[1])
    assert (results["outside"], results["own"]) == ("done", "failed")
    assert (root / "own.tries").read_text() == "1\n"


def test_a_failure_to_register_is_told_and_is_a_failure(
    toy: Toy, prefect_server: str, registered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(layout: Layout, settings: object) -> list[Decision]:
        raise StepError("no such run")

    monkeypatch.setattr("components.register.run", refuse)
    code, text = run(toy('only: {cmd: "echo 1"}'))
    assert code == 1
    assert table(text) == {"only": "done", "register": "failed"}
    assert text.endswith("\nno such run\n")


def test_a_tracking_store_that_cannot_be_made_ends_the_run(
    toy: Toy, prefect_server: str, registered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(layout: Layout) -> None:
        raise StepError("mlruns is read-only")

    monkeypatch.setattr("components.adapters.tracking.initialise", refuse)
    with pytest.raises(StepError, match="read-only"):
        run(toy('only: {cmd: "echo 1"}'))


def test_an_mlflow_that_is_away_keeps_no_stage_from_running_and_is_said(
    toy: Toy, prefect_server: str, registered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(layout: Layout) -> None:
        raise Unreachable("MLflow at http://localhost:9: no answer.")

    monkeypatch.setattr("components.adapters.tracking.initialise", away)
    code, text = run(toy('only: {cmd: "echo 1"}\nevaluate: {cmd: "echo 2"}'))
    assert code == 0
    assert table(text) == {"only": "done", "evaluate": "done", "register": "done"}
    assert "no answer. Until then trainings go on untracked." in text
    assert "no answer. Until then models are compared with the champion of the last run." in text


def test_prefect_knows_of_the_run_and_its_lines(toy: Toy, prefect_server: str, registered: list[Path]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    run(toy('only: {cmd: "echo 1; exit 1"}'))
    with get_client(sync_client=True) as client:
        (newest,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert newest.state_name == "Failed"
    assert newest.state.message == "failed: only"
    assert newest.parameters == {"profile": "quick"}


def unrecorded(results: list[Result]) -> Callable[..., Any]:
    """A flow whose stages ended so, and whose end a server on a full disk does not take."""
    from prefect.exceptions import PrefectHTTPStatusError

    request = httpx.Request("POST", "http://prefect/api")
    response = httpx.Response(503, request=request)

    def flow(session: pipeline.Session, into: list[Result]) -> Callable[..., None]:
        def run(profile: str, return_state: bool) -> None:
            into.extend(results)
            raise PrefectHTTPStatusError("503 Service Unavailable\nsee there", request=request, response=response)

        return run

    return flow


def test_a_server_that_records_nothing_fails_no_run_whose_stages_ended_well_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, done = io.StringIO(), [Result("only", Outcome.DONE)]
    board = Board(Console(file=stream), ())
    session = pipeline.Session(tmp_path, (), {}, board, threading.Event(), embedded=False)
    monkeypatch.setattr("flows.prefect_server.forget", lambda: None)
    monkeypatch.setattr(pipeline, "pipeline_flow", unrecorded(done))
    assert pipeline.execute(session, "quick") == done
    assert "does not record how this run ended: 503 Service Unavailable. Nothing else is lost" in stream.getvalue()
    monkeypatch.setattr(pipeline, "pipeline_flow", unrecorded([]))
    with pytest.raises(StepError, match=r"found: 503 Service Unavailable\. Nothing is lost"):
        pipeline.execute(session, "quick")


def test_verdicts_that_prefect_does_not_take_fail_no_registration(
    toy: Toy, prefect_server: str, registered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(layout: Layout, decisions: object) -> None:
        raise httpx.ReadTimeout("no answer")

    monkeypatch.setattr("flows.artifacts.publish", refuse)
    code, text = run(toy('only: {cmd: "echo 1"}'))
    assert (code, table(text)) == (0, {"only": "done", "register": "done"})
    assert "Prefect's pages do not show it: no answer" in text


def test_a_stage_is_tried_again_after_ten_and_twenty_seconds_and_registration_is_not(toy: Toy) -> None:
    graph = tuple(
        read_graph(toy('only: {cmd: "echo 1"}\nother: {cmd: "echo 2", meta: {retry_after_s: 1, retries: 3}}'))
    )
    session = pipeline.Session(Path(), graph, {}, Board(Console(file=io.StringIO()), ()), threading.Event(), True)
    tasks = pipeline.stage_tasks(session)
    waits = {name: (task.retries, task.retry_delay_seconds) for name, task in tasks.items()}
    assert waits["only"] == (2, [10.0, 20.0]) and waits["other"] == (3, [1.0, 2.0, 4.0])
    assert waits[pipeline.REGISTER][0] == 0


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
    assert pipeline._up_to_date(session, stage, [Result("before", Outcome.CACHED)]).outcome is Outcome.CACHED
