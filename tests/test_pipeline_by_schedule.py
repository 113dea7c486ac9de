"""New images for a project that `dvc repro` made: learned from, promoted by schedule, rolled back, made again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
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


def test_it_runs_by_itself_by_schedule_and_when_images_arrive(root: Path) -> None:
    """A scheduled run promotes the first champion; an image that comes starts a training that is held against it."""
    layout, path = Layout(root), root / "params.yaml"
    schedule(root, PROJECT, each_minute)
    with up(root, with_home(root)) as services:
        assert eventually(lambda: "COMPLETED" in states(services), 300), states(services)
        champion = registry.by_alias(layout, "sr-generator", "champion")
        assert champion is not None and champion.number == "1"
        schedule(root, PROJECT, by_event)
        run(root, *medsr("deploy", "--server", services.api))
        assert eventually(lambda: set(states(services)) == {"COMPLETED"}, 300), states(services)
        by_schedule = len(states(services))
        # it has to promote, whatever it learns from the new images, so that there is something to roll back
        path.write_text(path.read_text().replace("gain_over_champion_db: 0.0", "gain_over_champion_db: -99.0"))
        draw(root / "archive" / "new", range(16, 22))
        assert eventually(lambda: states(services)[by_schedule:] == ["COMPLETED"], 900), states(services)
    names = {name_of(layout, row.file_name) for row in read_rows(layout.index, IndexRow) if not row.quarantined}
    assert {f"{number}.dcm" for number in range(16, 22)} <= {Path(name).name for name in names}
    champion, previous = (registry.by_alias(layout, "sr-generator", alias) for alias in ("champion", "previous"))
    assert previous and champion and (previous.number, champion.number) == ("1", "2")
    scored = {row.method for row in read_rows(layout.sr_samples, SampleScore)}
    assert "champion" in scored, "the one in service, on the same held-out images"
    (entry,) = (one for one in ledger.history(layout) if one["version"] == "2" and one["model"] == "sr-generator")
    assert (entry["outcome"], entry["replaced"], entry["by"]) == ("promoted", "1", "policy")
    assert any("champion" in line["rule"] for line in entry["lines"])


def test_what_was_promoted_can_be_rolled_back(root: Path) -> None:
    run(root, *medsr("models", "rollback", "--reason", "a ring in the images"))
    back = registry.by_alias(Layout(root), "sr-generator", "champion")
    assert back is not None and back.number == "1"


def test_a_version_is_made_again_bit_for_bit_and_one_that_cannot_be_says_why(root: Path) -> None:
    newest = registry.list_versions(Layout(root), "sr-generator")[-1]
    assert newest.number == "2"
    before = sorted(path for path in (root / "data").rglob("*") if path.is_file())
    told = json.loads(run(root, *medsr("models", "reproduce", "2", "--json")))
    assert told["same"] and told["found_sha256"] == newest.weights_sha256 and told["environment"] == {}
    assert sorted(path for path in (root / "data").rglob("*") if path.is_file()) == before
    run(root, *medsr("models", "reproduce", "1"), expect=1)
    assert len(registry.list_versions(Layout(root), "sr-generator")) == 2


def each_minute(deployments: dict[str, Any]) -> None:
    """A training each minute, and nothing else."""
    for deployment in deployments.values():
        deployment.pop("schedules", None)
    deployments["weekly-training"]["schedules"] = [{"cron": "* * * * *"}]


def by_event(deployments: dict[str, Any]) -> None:
    """A data check that looks often, and trainings only where it has seen new images."""
    for deployment in deployments.values():
        deployment.pop("schedules", None)
    deployments["nightly-data-check"]["schedules"] = [{"interval": 20}]
    deployments["nightly-data-check"]["parameters"] = {"quiet_minutes": 0}


def states(services: Services) -> list[str]:
    """Of the trainings that have begun or are to begin now, in the order in which they were asked for."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    weekly = DeploymentFilter(name=DeploymentFilterName(any_=["weekly-training"]))
    with SyncPrefectClient(services.api) as client:
        runs = client.read_flow_runs(deployment_filter=weekly, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
    return [str(run.state_type.value) for run in runs if run.expected_start_time <= datetime.now(UTC)]
