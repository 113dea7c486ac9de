"""What a decision needs besides a person; the person is in `test_up.py`, where the pages are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from components.adapters import registry, tracking, training_runs
from components.handover import Layout, StepError, read_record
from components.register import AWAITING, Decision
from flows import approval, deployed
from tests.flows.conftest import eventually

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def registered(trained: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A project whose champion is version 1, and which has a version 2."""
    root = tmp_path_factory.mktemp("approval") / "project"
    shutil.copytree(trained.root, root)
    layout = Layout(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        tracking.initialise(layout)
        for name in ("srcnn", "rrdb"):
            record = training_runs.restore(layout, read_record(layout.model(name) / "run.json"))
            version = registry.register(layout, "sr-generator", record, {})
            if version.number == "1":
                registry.point(layout, version, "champion")
        yield layout


def heard() -> list[dict[str, Any]]:
    """The questions that the server knows of, the newest first."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.request("POST", "/events/filter", json={"filter": {"event": {"name": [approval.EVENT]}}})
    return list(found.json()["events"])


def test_only_a_candidate_that_waits_is_announced(prefect_server: str) -> None:
    before = len(heard())
    decisions = [
        Decision("sr-generator", "srcnn", "7", "promoted", "", ()),
        Decision("classifier", "classifier", "8", AWAITING, "", ()),
        Decision("sr-generator", "rrdb", "9", "refused", "", ()),
    ]
    approval.announce(decisions)
    assert eventually(lambda: len(heard()) == before + 1)
    asked = heard()[0]
    assert asked["resource"]["prefect.resource.id"] == "medsr.promotion.classifier.8"
    assert asked["payload"] == {"model": "classifier", "number": "8", "summary": decisions[1].summary}


def test_of_the_champion_nothing_is_asked(registered: Layout, prefect_server: str) -> None:
    assert approval.ask("sr-generator", "1") == "sr-generator 1 is the champion already"


def test_a_version_that_is_not_there_is_named(registered: Layout, prefect_server: str) -> None:
    with pytest.raises(StepError, match="sr-generator 3"):
        approval.ask("sr-generator", "3")


def test_the_evidence_is_shown_even_where_there_is_no_card(registered: Layout, prefect_server: str) -> None:
    from prefect.client.orchestration import get_client

    version = registry.list_versions(registered, "sr-generator")[-1]
    shown = {}
    for card in ("", "# sr-generator 2: what it is for\n"):
        if card:
            registry.describe(registered, version, card)
        approval._show(registered, version)
        with get_client(sync_client=True) as client:
            artifacts = [one for one in client.read_artifacts() if one.key == "approval-sr-generator-2"]
        shown[card] = max(artifacts, key=lambda one: one.created).data
    assert list(shown.values()) == ["sr-generator 2 has no card.", "# sr-generator 2: what it is for\n"]


@pytest.mark.parametrize("train", [True, False])
def test_drift_is_put_before_a_person_and_a_yes_starts_a_training(
    train: bool, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, begun = [], []

    def answer(wait_for_input: Any, **_: Any) -> Any:
        asked.append(wait_for_input)
        return wait_for_input(train=train, by="Roe", reason="new scanner")

    def start(name: str, **_: Any) -> Any:
        begun.append(name)
        return SimpleNamespace(name="brave-fox")

    monkeypatch.setattr("prefect.suspend_flow_run", answer)
    monkeypatch.setattr("prefect.deployments.run_deployment", start)
    said = deployed.retraining("drifted: CT: noise")
    assert "drifted: CT: noise" in asked[0]._description
    assert begun == (["pipeline/weekly-training"] if train else [])
    begun_or_not = "pipeline/weekly-training was begun as brave-fox" if train else "not trained"
    assert said == f"{begun_or_not}, by Roe: new scanner"


def test_drift_is_asked_about_by_one_run_at_a_time(prefect_server: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Suspended

    with get_client(sync_client=True) as client:
        waiting = client.create_flow_run(deployed.retraining, parameters={"found": "drifted"}, state=Suspended())
        try:
            assert deployed.retraining("drifted: MR: noise") == "another run asks already"
        finally:
            client.delete_flow_run(waiting.id)


def test_an_answer_without_name_and_reason_is_no_answer() -> None:
    from pydantic import ValidationError

    form = approval._form()
    assert form(promote=True, by="Roe", reason="sharp").promote
    for by, reason in (("", "sharp"), ("Roe", "")):
        with pytest.raises(ValidationError):
            form(promote=True, by=by, reason=reason)
