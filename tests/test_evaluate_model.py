import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components import evaluate, evaluate_classifiers, evaluate_model, register
from components.adapters import registry
from components.handover import (
    METHODS,
    Layout,
    PreparedRow,
    SplitRow,
    StepError,
    read_json,
    read_rows,
    write_json,
    write_rows,
)
from components.handover.sr_rows import SampleScore
from components.learning.datasets.pairs import load_pairs, rows_of
from tests import tables
from tests.settings import lenient, small


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


def test_weights_of_another_name_are_refused_and_not_taken_for_those_beside_them(project: Layout) -> None:
    other = project.model("srcnn") / "other.safetensors"
    shutil.copy(project.model("rrdb") / "weights.safetensors", other)
    with pytest.raises(StepError, match=r"other\.safetensors: expected weights\.safetensors"):
        evaluate_model.run(project, small(), str(other))


@pytest.mark.parametrize("name", ["bicubic", "RRDB", "champion", "leader", "input", "original", "a|b <x>"])
@pytest.mark.parametrize("kind", ["weights", "images"])
def test_no_method_may_be_called_what_tables_and_pictures_call_another(
    project: Layout, tmp_path: Path, kind: str, name: str
) -> None:
    mine = tmp_path / "mine"
    if kind == "weights":
        shutil.copytree(project.model("srcnn"), mine)
    else:
        images(project, mine, 0.1)
    with pytest.raises(StepError, match=r"expected a name of letters.*Choose another: --name"):
        evaluate_model.run(project, small(), str(mine), name)


def test_a_method_that_is_kept_is_not_replaced_by_another_of_its_name(project: Layout, tmp_path: Path) -> None:
    kept = evaluate_model.keep(project, "swin", images(project, tmp_path / "swin", 0.1))
    evaluate.run(project, small())
    assert evaluate_model.run(project, small(), str(kept)).name == "swin"
    with pytest.raises(StepError, match="swin: is in the table already"):
        evaluate_model.run(project, small(), str(images(project, tmp_path / "other" / "swin", 0.2)))


def _darker(project: Layout) -> None:
    row = rows_of(project.super_resolution, "test")[0]
    with np.load(project.super_resolution / row.file) as arrays:
        darker = {name: arrays[name] // 2 if name == "mask" else arrays[name] / 2 for name in arrays}
    np.savez(project.super_resolution / row.file, **darker)


def _reversed(project: Layout) -> None:
    path = project.super_resolution / "index.csv"
    write_rows(path, PreparedRow, read_rows(path, PreparedRow)[::-1])


def _with_lpips(project: Layout) -> None:
    rows = read_rows(project.sr_samples, SampleScore)
    write_rows(project.sr_samples, SampleScore, [replace(row, lpips=0.1) for row in rows])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_darker, "held-out images: "),
        (_reversed, "held-out images: "),
        (_with_lpips, "LPIPS at hand: True then, False"),
    ],
)
def test_scores_of_other_images_or_measures_are_not_mixed_with_new_ones(
    project: Layout, change: Callable[[Layout], None], said: str
) -> None:
    evaluate.run(project, small())
    change(project)
    with pytest.raises(StepError, match=f"`medsr run` makes them anew.\n  {said}"):
        evaluate_model.run(project, small(), str(project.model("srcnn")))


def test_scores_without_lpips_are_not_mixed_with_new_ones_that_have_it(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate.run(project, small())
    monkeypatch.setattr(evaluate_model, "load_lpips", lambda *_: lambda estimate, original: 0.1)
    with pytest.raises(StepError, match="LPIPS at hand: False then, True now"):
        evaluate_model.run(project, small(), str(project.model("srcnn")))


def test_scores_under_another_degradation_are_not_mixed_with_new_ones(project: Layout) -> None:
    evaluate.run(project, small())
    changed = replace(small(), prepare=replace(small().prepare, degradation="kspace"))
    with pytest.raises(StepError, match="degradation: bicubic then, kspace now"):
        evaluate_model.run(project, changed, str(project.model("srcnn")))


def test_scores_are_joined_by_image_and_not_by_their_order(project: Layout, tmp_path: Path) -> None:
    evaluate.run(project, small())
    before = read_rows(project.sr_samples, SampleScore)
    turned = [replace(row, sample={"S1": "S2", "S2": "S1"}[row.sample]) for row in before]
    write_rows(project.sr_samples, SampleScore, sorted(turned, key=lambda row: row.sample))
    table = evaluate_model.run(project, small(), str(images(project, tmp_path / "swin", 0.1)))
    image_ids = {row.sample: row.image_id for row in table.rows if row.method == "swin"}
    assert image_ids == {row.sample: row.image_id for row in turned if row.method == "bicubic"}


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_patient_who_was_learned_from_is_not_scored_on_another_image(
    project: Layout, tmp_path: Path, side: str
) -> None:
    row = rows_of(project.super_resolution, "test")[0]
    learned = SplitRow(
        image_id="f" * 16,
        patient_id=row.patient_id,
        task="super_resolution",
        modality="CT",
        label="",
        split=side,
        reason="",
    )
    write_rows(project.splits, SplitRow, [learned])
    data = tmp_path / "data"
    shutil.copytree(project.super_resolution, data)
    with pytest.raises(StepError, match=f"expected patients that no training saw, found {row.patient_id}"):
        evaluate_model.run(project, small(), str(project.model("rrdb")), data=data)


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
    evaluate_classifiers.run(project, small())
    tables.write_data(project)
    register.run(project, lenient())
    project.splits.unlink()  # it was drawn for the card, of other patients than the images are
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
