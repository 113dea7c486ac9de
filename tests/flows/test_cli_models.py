"""`medsr models …` on a registry of three versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.adapters import registry, tracking, training_runs
from components.adapters.registry import GENERATOR
from components.handover import Layout, read_record
from components.promotion import lineage
from flows.cli import main


def medsr(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


@pytest.fixture
def layout(project: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project.root)
    tracking.initialise(project)
    (project.root / "dvc.lock").write_text(
        "stages:\n  train@srcnn:\n    deps: [{path: data/prepared, md5: abc123.dir}]\n"
        "    outs: [{path: data/models/srcnn, md5: def456.dir}]\n"
    )
    for name in ("srcnn", "rrdb"):
        record = training_runs.restore(project, read_record(project.model(name) / "run.json"))
        kept = lineage.keep(project, record.model_id)
        registry.register(project, GENERATOR, record, {"git_revision": f"{name}-commit", **kept})
    return project


def test_versions_are_listed_with_their_aliases_and_found_by_what_they_were_made_of(layout: Layout) -> None:
    registry.point(layout, registry.list_versions(layout, GENERATOR)[1], "champion")
    rows = json.loads(medsr("list", "--json").stdout)
    assert [(row["version"], row["method"], row["aliases"]) for row in rows] == [
        ("1", "srcnn", []),
        ("2", "rrdb", ["champion"]),
    ]
    assert medsr("list").stdout.splitlines()[-1].split() == ["sr-generator", "2", "rrdb", "champion"]
    (found,) = json.loads(medsr("list", "--made-of", "rrdb-com", "--json").stdout)
    assert found["version"] == "2"
    digest = registry.list_versions(layout, GENERATOR)[0].weights_sha256[:9]
    (found,) = json.loads(medsr("list", "--made-of", digest, "--json").stdout)
    assert found["version"] == "1"
    assert "no version was made from ffff" in medsr("list", "--made-of", "ffff").stdout


def test_history_is_what_was_decided_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nothing" in medsr("history").stdout
    (tmp_path / "mlruns").mkdir()
    lines = [{"at": f"2030-01-0{n}", "model": "sr-generator", "outcome": "promoted", "lines": []} for n in (1, 2)]
    (tmp_path / "mlruns" / "promotions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert json.loads(medsr("history", "--json").stdout) == lines
    told = [line.split()[0] for line in medsr("history").stdout.splitlines()]
    assert told == ["at", "2030-01-01", "2030-01-02"]


def test_a_version_is_put_in_service_taken_back_and_shown_with_both(layout: Layout) -> None:
    done = medsr("promote", "1", "--reason", "the first")
    assert done.exit_code == 0 and "sr-generator 1 (srcnn) is the champion." in done.stdout
    done = medsr("promote", "2", "--reason", "sharper", "--by", "Roe")
    assert "in place of 1" in done.stdout
    shown = medsr("show").stdout
    assert shown.startswith("sr-generator 2 (rrdb) · champion") and "promoted 2 by Roe: sharper" in shown
    done = medsr("rollback", "--reason", "blurs", "--by", "Roe")
    assert "sr-generator 1 (srcnn) is the champion again; 2 is out of service." in done.stdout
    told = json.loads(medsr("show", "2", "--json").stdout)
    assert told["withdrawn"] == "blurs" and [entry["outcome"] for entry in told["promotions"]] == [
        "promoted",
        "rolled back",
    ]


def test_a_version_leads_back_to_data_settings_and_packages(layout: Layout) -> None:
    told = json.loads(medsr("show", "1", "--json").stdout)
    assert told["stage"] == {"data/prepared": "abc123.dir", "data/models/srcnn": "def456.dir"}
    assert told["parameters"]["network.name"] == "srcnn" and told["run"]["dvc_stage"] == "train@srcnn"
    assert {"torch", "mlflow"} <= set(told["environment"]["packages"])
    assert "dvc.lock: data/prepared" in medsr("show", "1").stdout


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("show",), "sr-generator: has no champion yet"),
        (("show", "9"), "sr-generator 9: expected a registered version, found none"),
        (("card", "1"), "sr-generator 1: has no card yet"),
        (("rollback",), "expected a version that served before the champion"),
        (("promote", "9", "--reason", "why not"), "sr-generator 9: expected a registered version"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_said(layout: Layout, asked: tuple[str, ...], said: str) -> None:
    answer = medsr(*asked)
    assert answer.exit_code == 1 and said in answer.stderr


def test_a_promotion_without_a_reason_is_wrong_use(layout: Layout) -> None:
    assert medsr("promote", "1").exit_code == 2


def test_the_card_is_printed_as_it_is_stored(layout: Layout) -> None:
    registry.describe(layout, registry.list_versions(layout, GENERATOR)[0], "# A card\n")
    assert medsr("card", "1").stdout == "# A card\n"
