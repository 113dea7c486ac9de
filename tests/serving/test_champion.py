from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from components.adapters import registry, tracking, training_runs
from components.handover import Layout, StepError, read_record
from components.learning.inference.generator import Generator
from components.serving.champion import Champion, from_registry
from tests.flows.conftest import eventually
from tests.services import free_port
from tests.serving.nodes import BICUBIC


class Nothing(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.full_like(nn.functional.interpolate(image, scale_factor=2), float("nan"))


class Registry:
    """Gives what it is told to give."""

    def __init__(self) -> None:
        self.found: Generator | Exception = BICUBIC

    def __call__(self) -> Generator:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def known() -> Registry:
    return Registry()


def test_a_new_champion_takes_over_once(known: Registry) -> None:
    champion = Champion(known)
    assert not champion.refresh() and champion.generator is BICUBIC
    known.found = replace(BICUBIC, version="4")
    assert champion.refresh() and not champion.refresh()
    assert champion.generator.version == "4"


@pytest.mark.parametrize(
    "wrong",
    [
        replace(BICUBIC, version="4", network=Nothing()),
        replace(BICUBIC, version="4", scale=3),
        replace(BICUBIC, version="4", network=nn.Conv2d(3, 1, 1)),
        StepError("no champion any more"),
        OSError("the registry is away"),
        TypeError("Rrdb.__init__() got an unexpected keyword argument 'attention'"),
        KeyError("percentiles"),
    ],
)
def test_what_does_not_answer_right_does_not_serve(
    known: Registry, wrong: Generator | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    champion = Champion(known)
    known.found = wrong
    with caplog.at_level(logging.WARNING):
        assert not champion.refresh()
    assert champion.generator is BICUBIC and "sr-generator 3 goes on serving" in caplog.text
    known.found = replace(BICUBIC, version="5")
    assert champion.refresh()


def test_without_a_champion_that_answers_nothing_begins(known: Registry) -> None:
    known.found = replace(BICUBIC, network=Nothing())
    with pytest.raises(StepError, match=r"sr-generator 3: expected \(96, 128\) finite values"):
        Champion(known)


def test_it_follows_until_it_is_told_to_stop(known: Registry) -> None:
    champion, stop = Champion(known), threading.Event()
    following = threading.Thread(target=champion.follow, args=(0.01, stop))
    following.start()
    known.found = replace(BICUBIC, version="4")
    assert eventually(lambda: champion.generator.version == "4")
    stop.set()
    following.join(5)
    assert not following.is_alive()


def test_the_alias_of_the_registry_is_followed_and_a_model_is_loaded_once(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.initialise(project)
    versions = []
    for name in ("srcnn", "rrdb"):
        record = training_runs.restore(project, read_record(project.model(name) / "run.json"))
        versions.append(registry.register(project, "sr-generator", record, {}))
    registry.point(project, versions[0], "champion")
    load = from_registry(project)
    champion = Champion(load)
    assert champion.generator.version == "1" and load() is champion.generator
    registry.point(project, versions[1], "champion")
    assert champion.refresh() and champion.generator.version == "2"
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(tracking.Unreachable):
            load()
        assert not champion.refresh() and champion.generator.version == "2", "the registry is away, it goes on"
    registry.release(project, "sr-generator", "champion")
    assert not champion.refresh() and champion.generator.version == "2"
