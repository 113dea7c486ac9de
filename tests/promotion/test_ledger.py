"""Who serves, and that no decision is lost: by hand, killed on the way, and by two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.adapters import registry, tracking, training_runs
from components.adapters.registry import GENERATOR
from components.handover import Layout, StepError, read_record, write_json
from components.promotion import ledger, lineage

pytestmark = pytest.mark.service

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def layout(project: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Three registered generators, none of them in service."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.initialise(project)
    for name in ("srcnn", "srresnet", "rrdb"):
        record = training_runs.restore(project, read_record(project.model(name) / "run.json"))
        registry.register(project, GENERATOR, record, {})
    return project


def promoted(layout: Layout, number: str) -> ledger.Entry:
    return ledger.promote(layout, GENERATOR, number, "Roe", "tried by hand")


def python(layout: Layout, script: str) -> subprocess.Popen[str]:
    """`script` in a process of its own, with `layout` and the modules at hand."""
    ready = (
        "import os, signal; from pathlib import Path; from components.promotion import ledger\n"
        "from components.adapters import registry; from components.handover import Layout\n"
        f"layout = Layout(Path({str(layout.root)!r}))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-c", ready + script],
        env=environment | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_person_promotes_and_rolls_back_and_both_are_written_down(layout: Layout) -> None:
    promoted(layout, "1")
    assert registry.aliases(layout, GENERATOR) == {"champion": "1"}
    assert promoted(layout, "3").replaced == "1"
    assert registry.aliases(layout, GENERATOR) == {"champion": "3", "previous": "1"}
    entry = ledger.rollback(layout, GENERATOR, "Roe", "blurs")
    assert (entry.version, entry.replaced) == ("1", "3")
    assert registry.aliases(layout, GENERATOR) == {"champion": "1"}
    assert registry.load_generator(layout).version == "1"
    assert ledger.version_of(layout, GENERATOR, "3").withdrawn == "blurs"
    lines = ledger.history(layout)
    assert [(line["outcome"], line["version"], line["replaced"]) for line in lines] == [
        ("promoted", "1", ""),
        ("promoted", "3", "1"),
        ("rolled back", "1", "3"),
    ]
    assert {line["by"] for line in lines} == {"Roe"} and lines[-1]["reason"] == "blurs"
    assert not (layout.mlruns / "promotion.pending.json").exists()


def test_what_was_taken_out_may_be_put_back_by_a_person(layout: Layout) -> None:
    promoted(layout, "1")
    promoted(layout, "2")
    ledger.rollback(layout, GENERATOR, "Roe", "")
    assert ledger.version_of(layout, GENERATOR, "2").withdrawn == "rolled back"
    promoted(layout, "2")
    assert ledger.version_of(layout, GENERATOR, "2").withdrawn == ""
    assert registry.aliases(layout, GENERATOR) == {"champion": "2", "previous": "1"}


def test_what_cannot_be_done_is_said_and_changes_nothing(layout: Layout) -> None:
    with pytest.raises(StepError, match="expected a version that served before the champion, found none"):
        ledger.rollback(layout, GENERATOR, "Roe", "")
    promoted(layout, "1")
    with pytest.raises(StepError, match="sr-generator 1: is the champion already"):
        promoted(layout, "1")
    with pytest.raises(StepError, match="sr-generator 9: expected a registered version"):
        promoted(layout, "9")
    with pytest.raises(StepError, match="served before the champion"):
        ledger.rollback(layout, GENERATOR, "Roe", "")
    assert registry.aliases(layout, GENERATOR) == {"champion": "1"} and len(ledger.history(layout)) == 1


def test_a_version_whose_files_were_changed_is_not_put_in_service(layout: Layout) -> None:
    promoted(layout, "1")
    model = ledger.version_of(layout, GENERATOR, "3").model_id
    (weights,) = (layout.mlruns / "artifacts").rglob(f"{model}/**/weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StepError, match=r"sr-generator 3: expected weights .* found .*changed after it was registered"):
        promoted(layout, "3")
    assert registry.aliases(layout, GENERATOR) == {"champion": "1"}


def test_a_version_that_answers_nonsense_is_not_put_in_service(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.isfinite", lambda found: found > 1e9)
    with pytest.raises(StepError, match="expected finite answers of the right shape"):
        promoted(layout, "1")
    assert registry.aliases(layout, GENERATOR) == {}


@pytest.mark.parametrize(
    ("at", "move"),
    [
        ("registry.point", "ledger.promote(layout, 'sr-generator', '3', 'Roe', 'killed')"),
        ("ledger._append", "ledger.promote(layout, 'sr-generator', '3', 'Roe', 'killed')"),
        ("Path.unlink", "ledger.promote(layout, 'sr-generator', '3', 'Roe', 'killed')"),
        ("registry.release", "ledger.rollback(layout, 'sr-generator', 'Roe', 'killed')"),
    ],
    ids=["before the aliases", "before the line", "after the line", "between two aliases"],
)
def test_a_move_that_is_killed_is_finished_by_whoever_comes_next(layout: Layout, at: str, move: str) -> None:
    promoted(layout, "1")
    promoted(layout, "2")
    killed = python(layout, f"{at} = lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL)\n{move}")
    _, output = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, output
    with ledger.opened(layout):
        pass
    lines = ledger.history(layout)
    expected = {"champion": "1"} if "rollback" in move else {"champion": "3", "previous": "2"}
    assert registry.aliases(layout, GENERATOR) == expected
    assert [line["reason"] for line in lines].count("killed") == 1 and lines[-1]["reason"] == "killed"
    with ledger.opened(layout):
        pass
    assert ledger.history(layout) == lines


def test_a_line_that_was_cut_short_is_taken_off_and_the_rest_stays(layout: Layout) -> None:
    promoted(layout, "1")
    path = layout.mlruns / "promotions.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at": "2030-01-01T00:00')
    assert len(ledger.history(layout)) == 1
    promoted(layout, "2")
    assert [line["version"] for line in ledger.history(layout)] == ["1", "2"]
    assert [json.loads(line)["version"] for line in path.read_text().splitlines()] == ["1", "2"]


def test_of_two_promotions_at_once_one_comes_after_the_other_and_none_is_lost(layout: Layout) -> None:
    promoted(layout, "1")
    both = [python(layout, f"ledger.promote(layout, 'sr-generator', '{number}', 'Roe', 'at once')") for number in "23"]
    for process in both:
        _, output = process.communicate(timeout=240)
        assert process.returncode == 0, output
    first, second = ledger.history(layout)[1:]
    assert {first["version"], second["version"]} == {"2", "3"}
    assert (first["replaced"], second["replaced"]) == ("1", first["version"])
    assert registry.aliases(layout, GENERATOR) == {"champion": second["version"], "previous": first["version"]}


def test_whoever_waits_too_long_is_told_so(layout: Layout) -> None:
    with (
        ledger.opened(layout),
        pytest.raises(StepError, match="another promotion is under way"),
        ledger.opened(layout, patience_s=0.3),
    ):
        pass


def test_a_move_to_a_version_that_is_gone_is_set_aside_and_keeps_nobody_out(layout: Layout) -> None:
    entry = {"model": GENERATOR, "version": "7", "outcome": "promoted", "replaced": "", "by": "Roe", "reason": "sharp"}
    pending = layout.mlruns / "promotion.pending.json"
    write_json(pending, {"entry": entry, "aliases": {"champion": "7", "previous": ""}})
    promoted(layout, "1")
    aside, made = ledger.history(layout)
    assert (aside["version"], aside["outcome"]) == ("7", "set aside")
    assert aside["reason"] == "promoted by Roe: version 7 is not registered any more"
    assert made["version"] == "1" and not pending.exists()


def test_a_clone_that_decided_on_a_champion_that_is_none_any_more_gives_up_and_says_so(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(layout, "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{layout.mlruns / 'mlflow.db'}")
    check, other = ledger.check_health, Layout(tmp_path / "clone")

    def slow(own: Layout, version: registry.Version) -> None:
        check(own, version)
        if own == layout:
            promoted(other, "3")  # between this clone's look at the champion and its move

    monkeypatch.setattr(ledger, "check_health", slow)
    with pytest.raises(StepError, match=r"sr-generator 2: expected 1 to serve, found 3.*Nothing was moved"):
        promoted(layout, "2")
    assert registry.aliases(layout, GENERATOR) == {"champion": "3", "previous": "1"}
    assert ledger.history(layout)[-1]["outcome"] == "set aside"
    monkeypatch.setattr(ledger, "check_health", check)
    assert promoted(layout, "2").replaced == "3"


def test_a_version_whose_registration_was_cut_short_is_not_put_in_service(layout: Layout) -> None:
    (layout.root / "dvc.lock").write_text("stages: {}\n")
    with pytest.raises(StepError, match=r"sr-generator 1: expected what it was made from.*`medsr run` completes it"):
        promoted(layout, "1")
    version = ledger.version_of(layout, GENERATOR, "1")
    lineage.complete(layout, version)
    assert promoted(layout, "1").version == "1"


def test_what_a_person_declined_is_not_promoted_by_the_policy_and_the_champion_cannot_be(layout: Layout) -> None:
    promoted(layout, "1")
    entry = ledger.decline(layout, GENERATOR, "2", "Roe", "halos")
    assert (entry.outcome, entry.version, entry.replaced) == ("declined", "2", "1")
    assert ledger.version_of(layout, GENERATOR, "2").withdrawn == "halos"
    assert ledger.history(layout)[-1]["by"] == "Roe"
    assert registry.aliases(layout, GENERATOR) == {"champion": "1"}
    with pytest.raises(StepError, match="is the champion"):
        ledger.decline(layout, GENERATOR, "1", "Roe", "halos")
