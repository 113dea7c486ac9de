"""New images for a project that `dvc repro` made: learned from, promoted by schedule, rolled back, made again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.adapters import registry
from components.handover import IndexRow, Layout, read_rows
from components.handover.sr_rows import SampleScore
from components.promotion import ledger
from tests.flows.conftest import eventually
from tests.journey import PROJECT, commit, draw, drawn, medsr, run, undisturbed
from tests.origins import name_of
from tests.services import Services, schedule, up, with_home

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

__all__ = ["drawn", "undisturbed"]  # fixtures


@pytest.fixture(scope="module")
def root(undisturbed: Path) -> Path:
    """The project that was brought up to date by hand, in git."""
    commit(undisturbed, "by hand")
    return undisturbed


def test_after_dvc_by_hand_the_flow_has_only_to_register(root: Path) -> None:
    said = run(root, *medsr("run"))
    done = {line.split()[0] for line in said.splitlines() if re.search(r"\bdone\b", line)}
    assert done == {"register"}
    champion = registry.by_alias(Layout(root), "sr-generator", "champion")
    assert champion is not None and champion.number == "1"


def test_new_images_are_learned_from_compared_and_promoted_by_schedule_and_rolled_back(root: Path) -> None:
    layout, path = Layout(root), root / "params.yaml"
    before = registry.by_alias(layout, "sr-generator", "champion")
    draw(root / "archive" / "new", range(16, 22))
    path.write_text(path.read_text().replace("gain_over_champion_db: 0.0", "gain_over_champion_db: -99.0"))
    schedule(root, PROJECT, training_alone)
    with up(root, with_home(root)) as services:
        assert eventually(lambda: "Completed" in states(services), 900), states(services)
    names = {name_of(layout, row.file_name) for row in read_rows(layout.index, IndexRow) if not row.quarantined}
    assert {f"{number}.dcm" for number in range(16, 22)} <= {Path(name).name for name in names}
    champion, previous = (registry.by_alias(layout, "sr-generator", alias) for alias in ("champion", "previous"))
    assert before and previous and champion
    assert (previous.number, champion.number) == (before.number, "2")
    scored = {row.method for row in read_rows(layout.sr_samples, SampleScore)}
    assert "champion" in scored, "the one in service, on the same held-out images"
    (entry,) = (one for one in ledger.history(layout) if one["version"] == "2" and one["model"] == "sr-generator")
    assert (entry["outcome"], entry["replaced"], entry["by"]) == ("promoted", before.number, "policy")
    assert any("champion" in line["rule"] for line in entry["lines"])
    run(root, *medsr("models", "rollback", "--reason", "a ring in the images"))
    back = registry.by_alias(layout, "sr-generator", "champion")
    assert back is not None and back.number == before.number


def test_a_version_is_made_again_bit_for_bit_and_one_that_cannot_be_says_why(root: Path) -> None:
    newest = registry.list_versions(Layout(root), "sr-generator")[-1]
    assert newest.number == "2"
    before = sorted(path for path in (root / "data").rglob("*") if path.is_file())
    told = json.loads(run(root, *medsr("models", "reproduce", "2", "--json")))
    assert told["same"] and told["found_sha256"] == newest.weights_sha256 and told["environment"] == {}
    assert sorted(path for path in (root / "data").rglob("*") if path.is_file()) == before
    run(root, *medsr("models", "reproduce", "1"), expect=1)
    assert len(registry.list_versions(Layout(root), "sr-generator")) == 2


def training_alone(deployments: dict[str, Any]) -> None:
    for deployment in deployments.values():
        deployment.pop("schedules", None)
    deployments["weekly"]["schedules"] = [{"cron": "* * * * *"}]


def states(services: Services) -> list[str]:
    """Of the trainings that the schedule has started."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    weekly = DeploymentFilter(name=DeploymentFilterName(any_=["weekly"]))
    with SyncPrefectClient(services.api) as client:
        return [one.state_name for one in client.read_flow_runs(deployment_filter=weekly)]
