from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from components.handover import StepError
from flows.dvc_locks import release_dead_locks
from flows.stages import (
    Outcome,
    Result,
    Stage,
    StageFailed,
    plan,
    read_graph,
    run_stage,
    stale,
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
