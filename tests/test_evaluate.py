import json
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from components import evaluate, evaluate_model
from components.evidence.showing import display_of
from components.handover import (
    METHODS,
    Layout,
    PreparedRow,
    StepError,
    read_json,
    read_rows,
    write_json,
)
from components.handover.sr_rows import Comparison, MethodSummary, SampleScore
from components.learning.datasets.pairs import load_pairs
from components.learning.models.srcnn import enlarge
from tests.settings import small


def test_every_method_is_scored_on_every_held_out_image(project: Layout) -> None:
    summary = evaluate.run(project, small())
    rows = read_rows(project.sr_samples, SampleScore)
    assert {(row.sample, row.method) for row in rows} == {(s, m) for s in ("S1", "S2") for m in METHODS}
    assert read_rows(project.sr_summary, MethodSummary) == summary
    assert [line.psnr_db_mean for line in summary] == sorted((line.psnr_db_mean for line in summary), reverse=True)


def test_the_numbers_are_those_of_scikit_image(project: Layout) -> None:
    evaluate.run(project, small())
    row = next(r for r in read_rows(project.sr_samples, SampleScore) if r.method == "bicubic" and r.sample == "S1")
    pair = load_pairs(project.super_resolution, "test", 4)[0]
    estimate = enlarge(pair.low[None], 4).clamp(0, 1)[0, 0, 4:-4, 4:-4].double().numpy()
    reference = pair.high[0, 4:-4, 4:-4].double().numpy()
    assert row.psnr_db == pytest.approx(peak_signal_noise_ratio(reference, estimate, data_range=1.0), abs=1e-6)


def test_pictures_are_there_for_every_method_and_hold_what_they_say(project: Layout) -> None:
    evaluate.run(project, small())
    shown = read_json(project.pictures / "pictures.json")
    assert len(shown) == 1
    assert set(shown[0]["methods"]) == {"original", "input", *METHODS}
    pair = load_pairs(project.super_resolution, "test", 4)[0]
    original = np.asarray(Image.open(project.pictures / shown[0]["methods"]["original"]["full"]))
    window = display_of(pair.row, pair.high[0].numpy(), pair.body[0].numpy())
    np.testing.assert_allclose(original / 255, window(pair.high[0].numpy()).clip(0, 1), atol=0.003)
    assert all((project.pictures / name).is_file() for files in shown[0]["methods"].values() for name in files.values())


def test_generators_of_different_scales_cannot_share_a_table(project: Layout) -> None:
    with pytest.raises(StepError, match=r"found \[2, 4\]"):
        evaluate.run(project, small(srcnn={"scale": 2}))


def test_a_network_that_saw_a_held_out_image_is_not_scored(project: Layout) -> None:
    folder = project.model("srgan")
    row = next(r for r in read_rows(project.super_resolution / "index.csv", PreparedRow) if r.split == "test")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"trained_on": [*config["trained_on"], row.image_id]})
    with pytest.raises(StepError, match=f"srgan: expected weights that saw no held-out image, found {row.image_id}"):
        evaluate.run(project, small())


TABLES = ("samples", "summary", "comparisons", "patients", "modalities", "spectrum", "profiles")


def test_evaluating_twice_gives_the_same_bytes(project: Layout) -> None:
    files = [getattr(project, f"sr_{name}") for name in TABLES]
    evaluate.run(project, small())
    first = [path.read_bytes() for path in files]
    evaluate.run(project, small())
    assert [path.read_bytes() for path in files] == first


def test_another_program_s_images_stand_in_the_same_tables(project: Layout) -> None:
    for pair in load_pairs(project.super_resolution, "test", 4):
        image = 0.9 * pair.high[0] + 0.1 * enlarge(pair.low[None], 4)[0, 0]
        path = project.external_images / "other" / f"{pair.row.sample_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image.clamp(0, 1).numpy() * 65535).round().astype(np.uint16)).save(path)
    summary = evaluate.run(project, small())
    assert summary[0].method == "other" and summary[0].psnr_gain_db > 15
    compared = read_rows(project.sr_comparisons, Comparison)
    assert {row.method for row in compared if row.against == "bicubic"} == {*METHODS[1:], "other"}
    shown = read_json(project.pictures / "pictures.json")[0]
    assert (project.pictures / shown["methods"]["other"]["zoom"]).is_file()


def test_a_kept_folder_without_an_image_that_is_held_out_since_is_left_out_by_name(
    project: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = load_pairs(project.super_resolution, "test", 4)
    for name, pairs in (("whole", (first, second)), ("old", (first,))):
        folder = project.external_images / name
        folder.mkdir(parents=True)
        for pair in pairs:
            np.save(folder / pair.row.sample_id, 0.9 * pair.high[0].numpy())
    methods = {line.method for line in evaluate.run(project, small())}
    assert "whole" in methods and "old" not in methods
    output = capsys.readouterr().out
    assert f"{second.row.sample_id}: missing" in output and "--write-inputs` writes today's inputs" in output


@pytest.mark.filterwarnings("error")
def test_images_that_equal_their_originals_are_scored_and_said_to_be_perfect(project: Layout) -> None:
    folder = project.external_images / "oracle"
    folder.mkdir(parents=True)
    for pair in load_pairs(project.super_resolution, "test", 4):
        np.save(folder / pair.row.sample_id, pair.high[0].numpy())
    best = evaluate.run(project, small())[0]
    assert best.method == "oracle" and best.psnr_db_n == 0 and best.psnr_gain_db == float("inf")
    assert read_rows(project.sr_summary, MethodSummary)[0] == best
    assert read_json(project.sr_metrics)["oracle"]["psnr_db_mean"] is None
    assert read_json(project.sr_metrics)["bicubic"]["psnr_db_mean"] > 0
    table = evaluate_model.run(project, small(), str(folder))
    assert "oracle; equals the original on 2 of 2 images, which means of PSNR leave out" in table.lines()
    assert json.loads(json.dumps(table.as_dicts(), allow_nan=False))[0]["psnr_db_mean"] is None


def test_the_champion_before_is_compared_with_and_one_that_cannot_be_is_said_to_be_left_out(project: Layout) -> None:
    shutil.copytree(project.model("srcnn"), project.champion)
    record = {"name": "sr-generator", "version": "3", "method": "srcnn"}
    write_json(project.champion / "champion.json", record)
    methods = {line.method: line for line in evaluate.run(project, small())}
    assert methods["champion"].psnr_db_mean == methods["srcnn"].psnr_db_mean
    assert read_json(project.champion_report) == record
    against = [row for row in read_rows(project.sr_comparisons, Comparison) if row.against == "champion"]
    assert {row.method for row in against} == set(METHODS)
    config = read_json(project.champion / "config.json")
    write_json(project.champion / "config.json", config | {"network": config["network"] | {"scale": 2}})
    assert "champion" not in {line.method for line in evaluate.run(project, small())}
    assert "expected a generator of scale 4, found 2" in read_json(project.champion_report)["left_out"]
