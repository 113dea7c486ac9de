from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lightning_fabric import Fabric

from components.handover import LabelledRow, Layout, read_rows, write_rows
from components.learning.training.recipes import TrainingContext, build_job, data_digest, start_digest
from components.learning.training.trainer import Progress
from components.params.trainings import ClassicalTraining
from tests.settings import small


def context(layout: Layout, start: Path | None = None) -> TrainingContext:
    return TrainingContext(layout, small(), Fabric(accelerator="cpu", devices=1), start)


def networks() -> list[str]:
    return [name for name, one in small().train.items() if not isinstance(one, ClassicalTraining)]


@pytest.mark.parametrize("name", networks())
def test_every_recipe_of_a_network_gives_a_phase_that_steps(trained: Layout, name: str) -> None:
    job = build_job(context(trained), small().train[name])  # type: ignore[arg-type]
    losses = job.phase.step(0)
    assert losses and all(loss.isfinite() for loss in losses.values())


def test_a_classical_recipe_is_no_networks(trained: Layout) -> None:
    with pytest.raises(TypeError, match="no training for ClassicalTraining"):
        build_job(context(trained), small().train["classical_svm"])  # type: ignore[arg-type]


def test_the_digest_of_data_is_that_of_the_task(project: Layout) -> None:
    trainings = small().train
    before = {name: data_digest(project, trainings[name]) for name in ("srcnn", "classifier")}  # type: ignore[arg-type]
    with (project.classification / "images.npy").open("ab") as handle:
        handle.write(b"more")
    after = {name: data_digest(project, trainings[name]) for name in ("srcnn", "classifier")}  # type: ignore[arg-type]
    assert after["srcnn"] == before["srcnn"] and after["classifier"] != before["classifier"]


def test_the_digest_of_a_start_is_that_of_its_weights(project: Layout) -> None:
    srgan, classifier = small().train["srgan"], small(classifier={"weights": "some folder"}).train["classifier"]
    before = start_digest(context(project), srgan)  # type: ignore[arg-type]
    own = [start_digest(context(project, project.model(name)), classifier) for name in ("classifier", "srcnn")]  # type: ignore[arg-type]
    assert own[0] != own[1] and start_digest(context(project), small().train["srcnn"]) == ""  # type: ignore[arg-type]
    (project.model("srresnet") / "weights.safetensors").write_bytes(b"others")
    assert start_digest(context(project), srgan) != before  # type: ignore[arg-type]


@pytest.mark.parametrize(("positive", "made"), [(3, 1), (5, 1), (8, 0)])
def test_more_is_made_of_the_smaller_class(trained: Layout, tmp_path: Path, positive: int, made: int) -> None:
    own = Layout(tmp_path / "own")
    shutil.copytree(trained.prepared, own.prepared)
    path, left = own.classification / "index.csv", {"heart_failure": positive, "normal": 10 - positive}
    kept = []
    for row in read_rows(path, LabelledRow):
        if row.split == "train":
            left[row.label] -= 1
        kept.append(row if row.split != "train" or left[row.label] >= 0 else replace(row, split="validation"))
    write_rows(path, LabelledRow, kept)
    job = build_job(context(own), small().train["dcgan"])  # type: ignore[arg-type]
    config = job.finish(Progress())[1]
    assert config["makes"] == {"label": made, "images": 3, "seed": small().seed}


def test_a_classifier_learns_from_made_images_that_copy_nobody(
    trained: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    build_job(context(trained), small().train["classifier_gan"])  # type: ignore[arg-type]
    said = capsys.readouterr().out
    kept, left_out = re.search(r"(\d) images of heart_failure made by dcgan; (\d) left out", said).groups()  # type: ignore[union-attr]
    assert int(kept) + int(left_out) == 3
    before = start_digest(context(trained), small().train["classifier"])  # type: ignore[arg-type]
    assert start_digest(context(trained), small().train["classifier_gan"]) != before  # type: ignore[arg-type]
