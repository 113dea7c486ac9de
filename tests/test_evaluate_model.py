import shutil
from pathlib import Path

import numpy as np
import pytest

from components import evaluate, evaluate_model, evaluate_readers, register
from components.adapters import registry
from components.handover import METHODS, Layout, StepError, read_json, write_json
from components.learning.patches import load_pairs
from tests import tables
from tests.settings import small
from tests.test_register import lenient


def images(project: Layout, folder: Path, share: float) -> Path:
    """What a program would write that gets the originals right but for a share."""
    folder.mkdir(parents=True)
    for pair in load_pairs(project.super_resolution, "test", 4):
        np.save(folder / pair.row.sample_id, (1 - share) * pair.high[0].numpy())
    return folder


def test_a_folder_of_another_program_s_images_stands_in_one_table_with_ours(project: Layout, tmp_path: Path) -> None:
    evaluate.run(project, small())
    before = project.sr_samples.read_bytes()
    table = evaluate_model.run(project, small(), str(images(project, tmp_path / "swin", 0.1)))
    assert {line.method for line in table.summary} == {*METHODS, "swin"} and table.summary[0].method == "swin"
    text = "\n".join(table.lines())
    assert "swin" in text and "better for 2 of 2 patients" in text and "rrdb" in text
    assert project.sr_samples.read_bytes() == before, "the step's tables are the step's alone"


def test_images_that_are_kept_are_in_every_later_evaluation(project: Layout, tmp_path: Path) -> None:
    folder = images(project, tmp_path / "swin", 0.1)
    assert evaluate_model.is_images(str(folder)) and not evaluate_model.is_images(str(project.model("rrdb")))
    evaluate_model.keep(project, "swin", folder)
    assert evaluate.run(project, small())[0].method == "swin"
    with pytest.raises(StepError, match="is there already"):
        evaluate_model.keep(project, "swin", folder)


@pytest.mark.parametrize("place", ["", "weights.safetensors"])
def test_weights_are_scored_as_the_step_scores_them(project: Layout, tmp_path: Path, place: str) -> None:
    summary = {line.method: line for line in evaluate.run(project, small())}
    other = tmp_path / "mine"
    shutil.copytree(project.model("srcnn"), other)
    table = evaluate_model.run(project, small(), str(other / place))
    own = next(line for line in table.summary if line.method == "mine")
    assert own.psnr_db_mean == summary["srcnn"].psnr_db_mean and own.ssim_mean == summary["srcnn"].ssim_mean


def test_other_data_gets_a_table_of_its_own_with_bicubic(project: Layout, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(project.super_resolution, data)
    table = evaluate_model.run(project, small(), str(project.model("rrdb")), data=data)
    assert {line.method for line in table.summary} == {"bicubic", "rrdb"}


def test_weights_that_saw_an_image_are_not_scored_on_it(project: Layout, tmp_path: Path) -> None:
    other = tmp_path / "mine"
    shutil.copytree(project.model("srcnn"), other)
    seen = load_pairs(project.super_resolution, "test", 4)[0].row.image_id
    config = read_json(other / "config.json")
    write_json(other / "config.json", config | {"trained_on": [*config["trained_on"], seen]})
    with pytest.raises(StepError, match=f"expected weights that saw no held-out image, found {seen}"):
        evaluate_model.run(project, small(), str(other))


def test_registered_versions_are_scored_by_alias_or_number_and_exported_for_the_next_run(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    registry.export_champion(project)
    assert not project.champion.exists(), "there is none yet"
    evaluate.run(project, small())
    evaluate_readers.run(project, small())
    tables.write_data(project)
    register.run(project, lenient())
    for name in ("sr-generator@champion", "sr-generator/1"):
        table = evaluate_model.run(project, small(), name)
        assert table.name == "sr-generator-1" and table.name in {line.method for line in table.summary}
    with pytest.raises(StepError, match="sr-generator/7: expected a registered version"):
        evaluate_model.run(project, small(), "sr-generator/7")
    registry.export_champion(project)
    record = read_json(project.champion / "champion.json")
    assert record["version"] == "1" and (project.champion / "weights.safetensors").is_file()
    assert "champion" in {line.method for line in evaluate.run(project, small())}


def test_a_folder_with_neither_weights_nor_images_is_named(project: Layout, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StepError, match=r"empty: expected weights\.safetensors beside config\.json, or images"):
        evaluate_model.run(project, small(), str(tmp_path / "empty"))


def test_the_inputs_for_another_program_are_all_of_them(project: Layout, tmp_path: Path) -> None:
    assert evaluate_model.export_inputs(project, small(), tmp_path / "inputs") == 2
    assert len(list((tmp_path / "inputs").glob("*.png"))) == 2
