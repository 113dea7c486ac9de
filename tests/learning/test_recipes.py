from __future__ import annotations

from pathlib import Path

import pytest
from lightning_fabric import Fabric

from components.handover import Layout
from components.learning.recipes import Setting, data_digest, start_digest, work_of
from components.trainings import ClassicalTraining
from tests.settings import small


def setting(layout: Layout, start: Path | None = None) -> Setting:
    return Setting(layout, small(), Fabric(accelerator="cpu", devices=1), start)


def networks() -> list[str]:
    return [name for name, one in small().train.items() if not isinstance(one, ClassicalTraining)]


@pytest.mark.parametrize("name", networks())
def test_every_recipe_of_a_network_gives_a_phase_that_steps(trained: Layout, name: str) -> None:
    work = work_of(setting(trained), small().train[name])  # type: ignore[arg-type]
    losses = work.phase.step(0)
    assert losses and all(loss.isfinite() for loss in losses.values())


def test_a_classical_recipe_is_no_networks(trained: Layout) -> None:
    with pytest.raises(TypeError, match="no training for ClassicalTraining"):
        work_of(setting(trained), small().train["classical_svm"])  # type: ignore[arg-type]


def test_the_digest_of_data_is_that_of_the_task(project: Layout) -> None:
    trainings = small().train
    before = {name: data_digest(project, trainings[name]) for name in ("srcnn", "classifier")}  # type: ignore[arg-type]
    with (project.classification / "images.npy").open("ab") as handle:
        handle.write(b"more")
    after = {name: data_digest(project, trainings[name]) for name in ("srcnn", "classifier")}  # type: ignore[arg-type]
    assert after["srcnn"] == before["srcnn"] and after["classifier"] != before["classifier"]


def test_the_digest_of_a_start_is_that_of_its_weights(project: Layout) -> None:
    srgan, classifier = small().train["srgan"], small(classifier={"weights": "some folder"}).train["classifier"]
    before = start_digest(setting(project), srgan)  # type: ignore[arg-type]
    own = [start_digest(setting(project, project.model(name)), classifier) for name in ("classifier", "srcnn")]  # type: ignore[arg-type]
    assert own[0] != own[1] and start_digest(setting(project), small().train["srcnn"]) == ""  # type: ignore[arg-type]
    (project.model("srresnet") / "weights.safetensors").write_bytes(b"others")
    assert start_digest(setting(project), srgan) != before  # type: ignore[arg-type]
