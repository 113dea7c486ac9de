import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from components import train
from components.handover import Layout, PreparedRow, StepError, read_json, read_rows
from components.learning.datasets.pairs import load_pairs
from components.learning.weights import save_weights
from components.natural_images import scoring, training
from components.natural_images.__main__ import main
from components.params import PROFILES, ParamsError
from tests.natural_pictures import colour, folder, write
from tests.settings import PARAMS, content


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, Path]:
    """Pictures to train on, and others to validate on."""
    return folder(tmp_path / "training", 3), folder(tmp_path / "validation", 2, first=3)


@pytest.fixture
def small_settings(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content()))
    return path


def test_what_is_prepared_is_what_training_loads(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    layout = Layout(tmp_path / "into")
    rows = training.prepare(layout, *drawn, 4)
    assert [(row.patient_id, row.split) for row in rows] == [
        *((f"picture_{n}", "train") for n in range(3)),
        *((f"picture_{n}", "validation") for n in (3, 4)),
    ]
    assert {row.modality for row in rows} == {"natural"}
    pair = load_pairs(layout.super_resolution, "train", 4)[1]
    assert (pair.row.rows, pair.row.columns) == tuple(pair.high.shape[1:]) == (68, 76)
    assert tuple(pair.low.shape) == (1, 17, 19)
    assert bool(pair.body.all())


def test_values_are_luma_in_8_bits_as_a_share_of_white(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    layout = Layout(tmp_path / "into")
    training.prepare(layout, *drawn, 4)
    for pair in load_pairs(layout.super_resolution, "train", 4):
        for image in (pair.low, pair.high):
            levels = image.double().numpy() * 255
            np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
            assert levels.round().min() >= 16 and levels.round().max() <= 235


def test_the_same_pictures_give_the_same_files_so_that_a_training_resumes(
    tmp_path: Path, drawn: tuple[Path, Path]
) -> None:
    layout = Layout(tmp_path / "into")
    contents = []
    for _ in range(2):
        training.prepare(layout, *drawn, 4)
        contents.append({path.name: path.read_bytes() for path in layout.super_resolution.iterdir()})
    assert contents[0] == contents[1] and len(contents[0]) == 6


def test_every_picture_that_cannot_be_used_is_named_and_what_was_there_stays(
    tmp_path: Path, drawn: tuple[Path, Path]
) -> None:
    layout = Layout(tmp_path / "into")
    training.prepare(layout, *drawn, 4)
    write(drawn[0] / "tiny.png", colour(18, 80, 0))
    (drawn[0] / "broken.jpg").write_bytes(b"no picture")
    write(drawn[1] / "again.png", colour(71, 76, 1))
    with pytest.raises(StepError, match="3 of the files") as error:
        training.prepare(layout, *drawn, 4)
    assert "tiny.png: expected 19 pixels a side or more, found 18 x 80" in str(error.value)
    assert "broken.jpg: not a picture" in str(error.value)
    assert "again.png: the same picture as picture_1 to train" in str(error.value)
    assert len(read_rows(layout.super_resolution / "index.csv", PreparedRow)) == 5
    assert [path.name for path in layout.prepared.iterdir()] == ["super_resolution"]


def test_a_folder_that_holds_a_pipeline_is_left_alone(tmp_path: Path, drawn: tuple[Path, Path]) -> None:
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(StepError, match="holds a pipeline"):
        training.prepare(Layout(tmp_path), *drawn, 4)


@pytest.mark.parametrize("profile", PROFILES)
def test_settings_are_the_profile_s_recipe_from_fresh_weights(tmp_path: Path, profile: str) -> None:
    made, scale = training.settings(Layout(tmp_path), PARAMS, "rrdb", profile)
    own, written = made.train["rrdb"], yaml.safe_load(PARAMS.read_text())[profile]["train"]["rrdb"]
    assert made.profile == profile and scale == written["scale"] == 4
    assert (own.network, own.steps, own.start) == (written["network"], written["steps"], "")
    assert (made.prepare.percentile_low, made.prepare.percentile_high) == (0, 100)


def test_steps_replace_the_recipe_s_and_nothing_is_written(tmp_path: Path) -> None:
    before = PARAMS.read_bytes()
    made, _ = training.settings(Layout(tmp_path), PARAMS, "srcnn", "full", steps=77)
    assert made.train["srcnn"].steps == 77 and made.train["srresnet"].steps != 77
    assert PARAMS.read_bytes() == before


def test_a_profile_that_makes_no_sense_is_refused_as_ever(tmp_path: Path, small_settings: Path) -> None:
    written = yaml.safe_load(small_settings.read_text())
    written["full"]["train"]["srcnn"]["learning_rate"] = -1
    small_settings.write_text(yaml.safe_dump(written))
    with pytest.raises(ParamsError, match=r"full\.train\.srcnn\.learning_rate"):
        training.settings(Layout(tmp_path), small_settings, "srcnn", "full")


def test_settings_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="found no file"):
        training.settings(Layout(tmp_path), tmp_path / "params.yaml", "srcnn", "full")


def test_what_is_no_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"expected a generator under quick\.train, found no classifier"):
        training.settings(Layout(tmp_path), PARAMS, "classifier", "quick")


def test_an_adversarial_training_without_its_start_says_which_to_train(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"a trained rrdb.*Train rrdb first"):
        training.settings(Layout(tmp_path), PARAMS, "esrgan")


def test_of_processes_that_train_together_the_first_one_prepares(
    tmp_path: Path, drawn: tuple[Path, Path], small_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "into")
    for rank in ("1", "0"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        training.make_ready(layout, small_settings, "srcnn", *drawn, profile=None, steps=2)
        assert layout.super_resolution.exists() == (rank == "0")


def test_a_generator_and_its_adversarial_phase_are_trained_and_scored(
    tmp_path: Path, drawn: tuple[Path, Path], small_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.learning.training.features.vgg19_cache", lambda: tmp_path / "absent.pth")
    layout = Layout(tmp_path / "into")
    for name in ("srresnet", "srgan"):
        ready = training.make_ready(layout, small_settings, name, *drawn, profile=None, steps=2)
        train.run(layout, ready, name, tracked=False)
        table = scoring.score(drawn[1], None, 4, str(layout.model(name)))
        assert [row.name for row in table.images] == ["picture_3", "picture_4"]
        assert table.low_resolution == "made here"
        assert all(np.isfinite([row.psnr_db, row.ssim]).all() for row in (*table.images, table.mean))
    config = read_json(layout.model("srgan") / "config.json")
    assert config["training"]["steps"] == 2 and config["percentiles"] == [0, 100]
    assert config["features"].startswith("random features")


def test_a_network_that_enlarges_bicubically_scores_as_bicubic_does(tmp_path: Path) -> None:
    """Through weights on disk, tiles and all: an SRCNN whose three layers hand the enlargement on."""
    import torch

    from components.learning.models import build

    sizes = {"name": "srcnn", "scale": 4, "channels": 1, "hidden_channels": 1}
    network = build(sizes)
    state = {key: torch.zeros_like(value) for key, value in network.state_dict().items()}
    for key, value in state.items():
        if key.endswith("weight"):
            value[0, 0, value.shape[2] // 2, value.shape[3] // 2] = 1
    save_weights(tmp_path / "model", state, {"network": sizes})
    images = folder(tmp_path / "images", 2)
    found, expected = (scoring.score(images, None, 4, model) for model in (str(tmp_path / "model"), "bicubic"))
    assert [row.psnr_db for row in found.images] == pytest.approx([row.psnr_db for row in expected.images], abs=1e-3)


def test_a_network_of_another_scale_is_refused(trained: Layout, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="expected a network of scale 2, found 4"):
        scoring.score(folder(tmp_path, 1), None, 2, str(trained.model("srcnn")))


def test_pictures_that_cannot_be_scored_are_all_named(tmp_path: Path) -> None:
    folder(tmp_path / "images", 1)
    for name in ("small.png", "smaller.png"):
        write(tmp_path / "images" / name, colour(12, 18, 0))
    with pytest.raises(StepError, match=r"(?s)2 of the files.*small\.png.*smaller\.png"):
        scoring.score(tmp_path / "images", None, 4, "bicubic")


def test_the_module_prepares_and_scores_without_the_command_line(
    tmp_path: Path, drawn: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    images, into = str(drawn[0]), str(tmp_path / "into")
    assert main(["prepare", "--images", images, "--validation", str(drawn[1]), "--into", into]) == 0
    assert "5 pictures" in capsys.readouterr().out
    assert main(["score", "bicubic", "--images", images, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["images"]) == 3
    assert main(["score", "bicubic", "--images", str(tmp_path / "absent")]) == 1
    assert "expected a folder" in capsys.readouterr().err
