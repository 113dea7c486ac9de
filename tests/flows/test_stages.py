from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.handover import StepError
from flows.dvc_locks import release_dead_locks
from flows.process_group import Cancelled
from flows.stages import (
    Outcome,
    Result,
    Stage,
    StageFailed,
    plan,
    read_graph,
    run_stage,
    stale,
    stale_in_turn,
)
from tests.flows.conftest import alive, eventually, written_pid

Toy = Callable[[str], Path]
CHAIN = """
    last: {cmd: "cat b.txt > c.txt", deps: [b.txt], outs: [c.txt]}
    first: {cmd: "cat in.txt > a.txt", deps: [in.txt], outs: [a.txt]}
    middle:
      foreach: [x, y]
      do: {cmd: "echo ${item}", deps: [a.txt], outs: ["${item}.txt"], meta: {accelerator: true, retries: 2}}
    joined: {cmd: "cat x.txt y.txt > b.txt", deps: [x.txt, y.txt], outs: [b.txt]}
"""


def run(root: Path, name: str) -> tuple[Result, list[str]]:
    lines: list[str] = []
    stage = next(stage for stage in read_graph(root) if stage.name == name)
    return run_stage(root, stage, lines.append, threading.Event()), lines


def test_each_stage_comes_after_all_that_it_needs(toy: Toy) -> None:
    stages = read_graph(toy(CHAIN))
    needs = {stage.name: stage.needs for stage in stages}
    assert needs == {
        "first": (),
        "middle@x": ("first",),
        "middle@y": ("first",),
        "joined": ("middle@x", "middle@y"),
        "last": ("joined",),
    }
    seen: set[str] = set()
    for stage in stages:
        assert seen >= set(stage.needs)
        seen.add(stage.name)


def test_hints_and_commands_are_read_from_the_graph(toy: Toy) -> None:
    stages = {stage.name: stage for stage in read_graph(toy(CHAIN))}
    assert stages["middle@y"].meta == {"accelerator": True, "retries": 2}
    assert stages["middle@y"].command == "echo y"
    assert stages["first"].meta == {}


def test_a_stage_is_done_once_then_cached_until_its_input_changes(toy: Toy) -> None:
    root = toy('only: {cmd: "cat in.txt; cp in.txt out.txt", deps: [in.txt], outs: [out.txt]}')
    (root / "in.txt").write_text("hello\n")
    assert run(root, "only") == (Result("only", Outcome.DONE, changed=True), ["hello"])
    assert stale(root) == {}
    assert run(root, "only") == (Result("only", Outcome.CACHED, changed=False), [])
    (root / "in.txt").write_text("changed\n")
    assert stale(root) == {"only": ("in.txt modified",)}


def test_a_result_taken_from_the_cache_is_cached_and_changes_the_outputs(toy: Toy) -> None:
    root = toy('only: {cmd: "cp in.txt out.txt", deps: [in.txt], outs: [out.txt]}')
    (root / "in.txt").write_text("hello\n")
    run(root, "only")
    (root / "out.txt").unlink()
    (root / "dvc.lock").unlink()
    assert run(root, "only")[0] == Result("only", Outcome.CACHED, changed=True)
    assert (root / "out.txt").read_text() == "hello\n"


def test_what_follows_a_stale_stage_is_planned_with_its_reason() -> None:
    stages = [Stage("a"), Stage("b", ("a",)), Stage("c", ("b",)), Stage("apart")]
    assert plan(stages, {"a": ("in.txt modified",)}) == {
        "a": ("in.txt modified",),
        "b": ("follows a",),
        "c": ("follows b",),
    }


def test_a_failure_shows_the_stage_s_own_last_lines(toy: Toy) -> None:
    root = toy('broken: {cmd: "for i in $(seq 40); do echo line $i; done; echo reason >&2; exit 3"}')
    with pytest.raises(StageFailed) as raised:
        run(root, "broken")
    lines = str(raised.value).splitlines()
    assert lines == ["broken failed, exit code 3:", *(f"  line {i}" for i in range(27, 41)), "  reason"]
    assert not raised.value.may_pass_later


def test_a_failure_without_a_word_shows_what_dvc_says_of_it(toy: Toy) -> None:
    root = toy("mute: {cmd: 'exit 9', deps: [absent.txt]}")
    with pytest.raises(StageFailed, match=r"absent\.txt"):
        run(root, "mute")


@pytest.mark.parametrize("command", ["exit 75", "kill -9 $$"])
def test_a_failure_of_the_outside_may_pass_later(toy: Toy, command: str) -> None:
    root = toy(f"unlucky: {{cmd: '{command}'}}")
    with pytest.raises(StageFailed) as raised:
        run(root, "unlucky")
    assert raised.value.may_pass_later


HELD = 'only: {cmd: "touch begun; until test -e go; do sleep 0.1; done; echo 1 >> ran; echo 1 > a.txt", outs: [a.txt]}'


@contextmanager
def at_work(root: Path, ended: list[Result]) -> Iterator[Stage]:
    """Its one stage, which another run is at work on until there is a file `go`; `ended` is how that ends."""
    (stage,) = read_graph(root)
    other = threading.Thread(target=lambda: ended.append(run_stage(root, stage, print, threading.Event())))
    other.start()
    try:
        assert eventually((root / "begun").exists)
        yield stage
    finally:
        (root / "go").touch()
        other.join()


def test_a_stage_that_another_run_is_at_work_on_is_waited_for_and_done_once(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.stages.LOOK_S", 0.1)
    root, lines, first = toy(HELD), list[str](), list[Result]()

    def log(line: str) -> None:
        lines.append(line)
        (root / "go").touch()

    with at_work(root, first) as stage:
        second = run_stage(root, stage, log, threading.Event())
    assert [result.outcome for result in (*first, second)] == [Outcome.DONE, Outcome.CACHED]
    assert (root / "ran").read_text() == "1\n"
    (said,) = lines
    assert re.fullmatch(rf"waits for another run, which holds '{root}/a\.txt': \(PID \d+\): .*repro .*only", said)


def test_waiting_for_another_run_ends_when_stopped(toy: Toy) -> None:
    root, stop = toy(HELD), threading.Event()
    with at_work(root, []) as stage, pytest.raises(Cancelled):
        run_stage(root, stage, lambda line: stop.set(), stop)


def test_what_is_out_of_date_is_looked_at_once_no_stage_runs(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.stages.LOOK_S", 0.1)
    root, said = toy(HELD), list[str]()

    def say(text: str) -> None:
        said.append(text)
        (root / "go").touch()

    with at_work(root, []):
        assert stale_in_turn(root, say) == {}
    assert len(said) == 1 and "another run is at work here" in said[0]


def test_a_stage_that_takes_longer_than_it_may_is_ended_and_not_tried_again(toy: Toy) -> None:
    root = toy('only: {cmd: "echo begun; sleep 600 & echo $! > pid; wait", meta: {timeout_hours: 0.0015}}')
    with pytest.raises(StageFailed, match=r"only failed, ended after 0\.0015 h .*timeout_hours.*\n  begun") as failed:
        run_stage(root, *read_graph(root), print, threading.Event())
    assert not failed.value.may_pass_later
    assert not alive(written_pid(root / "pid"))


def test_python_in_a_stage_is_the_one_that_runs(toy: Toy) -> None:
    root = toy("""which: {cmd: 'python -c "import sys; print(sys.executable)"'}""")
    assert run(root, "which")[1] == [sys.executable]


def test_a_stage_can_be_run_again_after_its_runner_was_killed(toy: Toy) -> None:
    root = toy(
        """
        before: {cmd: "echo 1 > a.txt", outs: [a.txt]}
        slow: {cmd: "echo $$ > pid; test -e quick || sleep 600; cp a.txt b.txt", deps: [a.txt], outs: [b.txt]}
        """
    )
    run(root, "before")
    script = (
        "import threading; from pathlib import Path; from flows.stages import *\n"
        "run_stage(Path(), read_graph(Path())[1], print, threading.Event())"
    )
    runner = subprocess.Popen([sys.executable, "-c", script], cwd=root)
    stage = written_pid(root / "pid")
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    assert eventually(lambda: not alive(stage), 20)
    (root / "quick").touch()
    release_dead_locks(root)
    assert run(root, "slow")[0].outcome is Outcome.DONE


def test_a_folder_without_dvc_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=rf"{tmp_path}.*\.dvc"):
        read_graph(tmp_path)


def test_a_checkout_without_git_is_told_what_to_do(toy: Toy) -> None:
    root = toy(CHAIN)
    (root / ".dvc" / "config").write_text("")
    with pytest.raises(StepError, match=r"git checkout.*core\.no_scm"):
        read_graph(root)


def test_a_graph_that_dvc_cannot_read_is_told_as_dvc_tells_it(toy: Toy) -> None:
    root = toy("only: {cmd: 'echo 1', outs: [a.txt]}\n    other: {cmd: 'echo 2', outs: [a.txt]}".replace("    ", ""))
    with pytest.raises(StepError, match=r"a\.txt"):
        read_graph(root)
