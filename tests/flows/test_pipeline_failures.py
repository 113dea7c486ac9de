"""What a run does about a stage that fails, and about an MLflow or a Prefect that does not answer."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from components.adapters.tracking import Unreachable
from components.handover import Layout, StepError
from flows import pipeline
from flows.board import Board
from flows.stages import Outcome, Result, read_graph
from tests.flows.toy_runs import Decision, Toy, registered, run, table

pytestmark = pytest.mark.service

__all__ = ["registered"]  # fixtures


def unrecorded(results: list[Result]) -> Callable[..., Any]:
    """A flow whose stages ended so, and whose end a server on a full disk does not take."""
    from prefect.exceptions import PrefectHTTPStatusError

    request = httpx.Request("POST", "http://prefect/api")
    response = httpx.Response(503, request=request)

    def flow() -> Callable[..., None]:
        def run(profile: str, force: bool, return_state: bool) -> None:
            session = pipeline._SESSION.get()
            assert session
            session.results.extend(results)
            raise PrefectHTTPStatusError("503 Service Unavailable\nsee there", request=request, response=response)

        return run

    return flow


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


def test_a_stage_is_tried_again_after_ten_and_twenty_seconds_and_registration_is_not(toy: Toy) -> None:
    graph = tuple(
        read_graph(toy('only: {cmd: "echo 1"}\nother: {cmd: "echo 2", meta: {retry_after_s: 1, retries: 3}}'))
    )
    session = pipeline.Session(Path(), graph, {}, Board(Console(file=io.StringIO()), ()), threading.Event(), True)
    tasks = pipeline.stage_tasks(session)
    waits = {name: (task.retries, task.retry_delay_seconds) for name, task in tasks.items()}
    assert waits["only"] == (2, [10.0, 20.0]) and waits["other"] == (3, [1.0, 2.0, 4.0])
    assert waits[pipeline.REGISTER][0] == 0


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


def test_a_server_that_records_nothing_fails_no_run_whose_stages_ended_well_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, done = io.StringIO(), [Result("only", Outcome.DONE)]
    monkeypatch.setattr("flows.prefect_server.forget", lambda: None)

    def session() -> pipeline.Session:
        board = Board(Console(file=stream), ())
        return pipeline.Session(tmp_path, (), {}, board, threading.Event(), embedded=False)

    monkeypatch.setattr(pipeline, "make_flow", unrecorded(done))
    assert pipeline.execute(session()) == done
    assert "does not record how this run ended: 503 Service Unavailable. Nothing else is lost" in stream.getvalue()
    monkeypatch.setattr(pipeline, "make_flow", unrecorded([]))
    with pytest.raises(StepError, match=r"found: 503 Service Unavailable\. Nothing is lost"):
        pipeline.execute(session())


def test_verdicts_that_prefect_does_not_take_fail_no_registration(
    toy: Toy, prefect_server: str, registered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(layout: Layout, decisions: object) -> None:
        raise httpx.ReadTimeout("no answer")

    monkeypatch.setattr("flows.artifacts.publish", refuse)
    code, text = run(toy('only: {cmd: "echo 1"}'))
    assert (code, table(text)) == (0, {"only": "done", "register": "done"})
    assert "Prefect's pages do not show it: no answer" in text
