import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from components import evaluate
from components.handover import (
    METHODS,
    Layout,
    MethodSummary,
    PreparedRow,
    SampleScore,
    StepError,
    read_json,
    read_rows,
    write_json,
)
from components.learning.models.srcnn import enlarge
from components.learning.patches import load_pairs
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
    np.testing.assert_allclose(original / 255, pair.high[0].numpy(), atol=0.003)
    assert all((project.pictures / name).is_file() for files in shown[0]["methods"].values() for name in files.values())


def test_gains_are_paired_with_bicubic_on_the_same_image() -> None:
    rows = [
        SampleScore(f"S{i}", str(i), 0, f"P{i}", "CT", 4, method, psnr, 0.9, psnr, 0.9, 0.0)
        for i in range(3)
        for method, psnr in [(m, 30.0 + 5 * i + (1.0 if m == "rrdb" else 0.0)) for m in METHODS]
    ]
    summary = {line.method: line for line in evaluate.summarise(rows, 100, 0)}
    assert summary["rrdb"].psnr_gain_db == pytest.approx(1.0)
    assert summary["rrdb"].psnr_gain_db_low == pytest.approx(1.0), "a gain alike on all patients has no spread"
    assert (summary["rrdb"].psnr_db_min, summary["rrdb"].psnr_db_max) == (31.0, 41.0)


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
