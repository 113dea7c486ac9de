import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from components import train
from components.handover import (
    CLASSIFIER,
    GENERATORS,
    LabelledRow,
    Layout,
    PreparedRow,
    StepError,
    read_json,
    read_record,
    read_rows,
    write_json,
)
from components.learning.models import build
from tests import prepared
from tests.settings import content, small

pytestmark = pytest.mark.service

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "components.train", name, "--untracked"]


@pytest.mark.parametrize("name", [*GENERATORS, CLASSIFIER])
def test_every_training_leaves_weights_configuration_history_and_record(trained: Layout, name: str) -> None:
    folder = trained.model(name)
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "config.json", "history.csv", "run.json"}
    config = read_json(folder / "config.json")
    build(config["network"]).load_state_dict(load_file(folder / "weights.safetensors"))
    assert read_record(folder / "run.json").name == name
    with (folder / "history.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) >= 6
    assert not trained.checkpoints(name).exists()


def test_esrgan_records_which_interpolation_was_chosen_on_validation_patients(trained: Layout) -> None:
    config = read_json(trained.model("esrgan") / "config.json")
    chosen = config["interpolation"]
    assert str(chosen["alpha"]) in chosen["scores"] and len(chosen["scores"]) == 8
    assert config["features"] == "features of the trained classifier"


def test_the_adversarial_phase_starts_from_the_pixel_phase(project: Layout) -> None:
    params = small(srgan={"learning_rate": 1e-9})
    train.run(project, params, "srgan", tracked=False)
    pixel, adversarial = (load_file(project.model(n) / "weights.safetensors") for n in ("srresnet", "srgan"))
    torch.testing.assert_close(adversarial["tail.weight"], pixel["tail.weight"], atol=1e-6, rtol=0)


def test_the_same_settings_give_the_same_weights(project: Layout) -> None:
    before = read_record(project.model("rrdb") / "run.json")
    after = train.run(project, small(), "rrdb", tracked=False)
    assert after.weights_sha256 == before.weights_sha256
    other = train.run(project, small(rrdb={"learning_rate": 2e-3}), "rrdb", tracked=False)
    assert other.weights_sha256 != before.weights_sha256


@pytest.mark.parametrize("name", ["srresnet", "rrdb", "srgan", "esrgan", CLASSIFIER])
def test_a_killed_training_resumes_and_ends_bit_for_bit_as_if_it_had_not_been(project: Layout, name: str) -> None:
    """Batch norm, averaged weights, two optimisers and a kept best: each phase has something else to remember."""
    settings, long = content(), {"steps": 60, "checkpoint_every": 5, "validate_every": 15, "ema": 0.9}
    settings["quick"]["train"][name] |= long
    (project.root / "params.yaml").write_text(yaml.safe_dump(settings))
    (project.model(name) / "run.json").unlink()
    with subprocess.Popen(_command(name), cwd=project.root, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        while not (project.checkpoints(name) / "last.pt").is_file() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not (project.model(name) / "run.json").exists()
    done = subprocess.run(_command(name), cwd=project.root, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert "resuming after step" in done.stdout
    digest = read_record(project.model(name) / "run.json").weights_sha256
    assert train.run(project, small(**{name: long}), name, tracked=False).weights_sha256 == digest


def test_processes_that_train_together_leave_one_model_and_no_checkpoint(project: Layout) -> None:
    settings = content()
    settings["quick"]["train"]["esrgan"] |= {"batch_size": 4}  # batch norm wants two images a process
    (project.root / "params.yaml").write_text(yaml.safe_dump(settings))
    for name in ("rrdb", "esrgan"):
        alone = load_file(project.model(name) / "weights.safetensors")
        environment = ENVIRONMENT | {train.DEVICES: "2"}
        done = subprocess.run(_command(name), cwd=project.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"{name}: ") == 1 and not project.checkpoints(name).exists()
        together = load_file(project.model(name) / "weights.safetensors")
        if name == "rrdb":  # it has no batch norm, which would look at half a batch
            torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


def test_a_senseless_number_of_devices_is_refused(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(train.DEVICES, "many")
    with pytest.raises(StepError, match="MEDSR_DEVICES: expected how many"):
        train.run(project, small(), "srcnn", tracked=False)


def test_a_model_says_what_it_was_trained_on_and_lends_it_on(project: Layout) -> None:
    rows = read_rows(project.super_resolution / "index.csv", PreparedRow)
    expected = sorted(row.image_id for row in rows if row.split == "train")
    assert read_json(project.model("rrdb") / "config.json")["trained_on"] == expected
    assert read_json(project.model("esrgan") / "config.json")["trained_on"] == expected


def test_training_goes_on_from_shared_weights(project: Layout, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shutil.copytree(project.model("rrdb"), shared)
    train.run(project, small(rrdb={"start": str(shared), "learning_rate": 1e-9, "ema": 0.0}), "rrdb", tracked=False)
    before, after = (load_file(folder / "weights.safetensors") for folder in (shared, project.model("rrdb")))
    torch.testing.assert_close(after, before, atol=1e-6, rtol=0)


def test_a_compiled_network_learns_what_the_plain_one_does(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    # traced as for any backend; to have a C++ compiler build the kernels takes half a minute and tests PyTorch
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain = load_file(project.model("rrdb") / "weights.safetensors")
    train.run(project, small(rrdb={"compile": True}), "rrdb", tracked=False)
    torch.testing.assert_close(load_file(project.model("rrdb") / "weights.safetensors"), plain, atol=1e-4, rtol=1e-3)


def test_imagenet_weights_are_read_from_the_path_and_missing_ones_are_named(tmp_path: Path) -> None:
    layout = prepared.classification(tmp_path)
    network = build({"name": "densenet201", "growth_rate": 4, "blocks": [2, 2, 2, 2], "initial_channels": 8})
    state = dict(network.network.state_dict())  # type: ignore[union-attr]
    state["features.conv0.weight"] = torch.randn(8, 3, 7, 7)
    torch.save(state, tmp_path / "imagenet.pth")
    train.run(layout, small(classifier={"weights": str(tmp_path / "imagenet.pth")}), CLASSIFIER, tracked=False)
    assert read_json(layout.model(CLASSIFIER) / "config.json")["start"] == "ImageNet weights in imagenet.pth"
    with pytest.raises(StepError, match=r"nowhere\.pth: expected ImageNet weights"):
        train.run(layout, small(classifier={"weights": "nowhere.pth"}), CLASSIFIER, tracked=False)
    torch.save({"features.conv0.weight": torch.randn(64, 3, 7, 7)}, tmp_path / "wrong.pth")
    with pytest.raises(StepError, match=r"wrong\.pth"):
        train.run(layout, small(classifier={"weights": str(tmp_path / "wrong.pth")}), CLASSIFIER, tracked=False)


def test_a_name_that_is_not_in_the_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="train edsr: expected one of srcnn"):
        train.run(Layout(tmp_path), small(), "edsr", tracked=False)


def test_a_classifier_goes_on_from_a_folder_unless_it_saw_what_is_held_out(project: Layout) -> None:
    shared = shutil.copytree(project.model(CLASSIFIER), project.root / "other")
    settings = small(classifier={"weights": str(shared), "learning_rate": 1e-9})
    train.run(project, settings, CLASSIFIER, tracked=False)
    before, after = (load_file(folder / "weights.safetensors") for folder in (shared, project.model(CLASSIFIER)))
    head = "network.classifier.weight"
    torch.testing.assert_close(after[head], before[head], atol=1e-6, rtol=0)
    config = read_json(shared / "config.json")
    held_out = next(r for r in read_rows(project.classification / "index.csv", LabelledRow) if r.split == "test")
    write_json(shared / "config.json", config | {"trained_on": [held_out.image_id]})
    with pytest.raises(StepError, match=f"found {held_out.image_id} among those they were trained on"):
        train.run(project, settings, CLASSIFIER, tracked=False)
