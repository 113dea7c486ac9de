import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from components import train
from components.handover import CLASSIFIER, GENERATORS, Layout, StepError, read_json, read_record
from components.learning.models import build
from tests import prepared
from tests.settings import content, small


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
    params = small(srgan={"rate": 1e-9})
    train.run(project, params, "srgan", tracked=False)
    pixel, adversarial = (load_file(project.model(n) / "weights.safetensors") for n in ("srresnet", "srgan"))
    torch.testing.assert_close(adversarial["tail.weight"], pixel["tail.weight"], atol=1e-6, rtol=0)


def test_the_same_settings_give_the_same_weights(project: Layout) -> None:
    before = read_record(project.model("rrdb") / "run.json")
    after = train.run(project, small(), "rrdb", tracked=False)
    assert after.weights_sha256 == before.weights_sha256
    other = train.run(project, small(rrdb={"rate": 2e-3}), "rrdb", tracked=False)
    assert other.weights_sha256 != before.weights_sha256


def test_a_killed_training_resumes_and_ends_as_if_it_had_not_been_killed(project: Layout, tmp_path: Path) -> None:
    settings = content()
    settings["quick"]["train"]["rrdb"] |= {"steps": 120, "checkpoint_every": 10, "validate_every": 120}
    (project.root / "params.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "components.train", "rrdb", "--untracked"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    (project.model("rrdb") / "run.json").unlink()
    process = subprocess.Popen(command, cwd=project.root, env=environment, stdout=subprocess.DEVNULL)
    checkpoint = project.checkpoints("rrdb") / "last.pt"
    while not checkpoint.is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (project.model("rrdb") / "run.json").exists()
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=True)
    assert "resuming after step" in done.stdout
    found = read_record(project.model("rrdb") / "run.json").weights_sha256
    subprocess.run(command, cwd=project.root, env=environment, capture_output=True, check=True)
    assert read_record(project.model("rrdb") / "run.json").weights_sha256 == found


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
