import math
from dataclasses import replace

import pytest

from components.evidence.summarising import grouped, perfect_note, summarise
from components.handover import METHODS
from tests.evidence.rows import rows


def test_gains_are_paired_with_bicubic_on_the_same_image() -> None:
    base = [30.0, 35.0, 40.0]
    table = rows({method: [b + (1.0 if method == "rrdb" else 0.0) for b in base] for method in METHODS})
    summary = {line.method: line for line in summarise(table, 100, 0)}
    assert summary["rrdb"].psnr_gain_db == pytest.approx(1.0)
    assert summary["rrdb"].psnr_gain_db_low == pytest.approx(1.0), "a gain alike on all patients has no spread"
    assert (summary["rrdb"].psnr_db_min, summary["rrdb"].psnr_db_max) == (31.0, 41.0)
    assert summary["rrdb"].psnr_db_low < summary["rrdb"].psnr_db_mean < summary["rrdb"].psnr_db_high
    assert summarise(table, 100, 0)[0].method == "rrdb"


def test_a_measure_that_some_images_lack_is_the_mean_of_the_others() -> None:
    table = rows({"bicubic": [30, 32]})
    line = summarise([replace(table[0], ms_ssim=0.5), replace(table[1], ms_ssim=None)], 100, 0)[0]
    assert line.ms_ssim_mean == 0.5 and line.lpips_mean is None


def test_one_image_that_is_less_faithful_than_bicubic_is_not_averaged_away() -> None:
    table = rows({"bicubic": [30, 30, 30], "rrdb": [31, 31, 31]})
    consistency_db = [9.0, 9.0, -4.0]
    changed = [
        replace(row, consistency_worst_db=30 + consistency_db[int(row.sample[1:]) - 1]) if row.method == "rrdb" else row
        for row in table
    ]
    line = next(line for line in summarise(changed, 100, 0) if line.method == "rrdb")
    assert line.consistency_gain_db_min == -4.0 and line.consistency_worst_db_min == 26.0


def test_images_that_equal_their_original_are_counted_and_not_averaged() -> None:
    table = rows({"bicubic": [30, 32, math.inf], "oracle": [math.inf] * 3, "rrdb": [31, math.inf, math.inf]})
    summary = {line.method: line for line in summarise(table, 100, 0)}
    bicubic, oracle, rrdb = (summary[name] for name in ("bicubic", "oracle", "rrdb"))
    assert (bicubic.psnr_db_mean, bicubic.psnr_db_n, bicubic.psnr_db_max) == (31, 2, math.inf)
    assert (oracle.psnr_db_mean, oracle.psnr_db_low, oracle.psnr_db_n) == (math.inf, math.inf, 0)
    assert (rrdb.psnr_db_mean, rrdb.psnr_db_n, rrdb.psnr_gain_db) == (31, 1, 0.5), (
        "1 and 0 dB; more than any is left out"
    )
    assert perfect_note(rrdb) == "; equals the original on 2 of 3 images, which means of PSNR leave out"
    assert perfect_note(replace(rrdb, psnr_db_n=3)) == ""


def test_an_image_without_a_body_inside_its_border_is_not_in_the_mean_and_not_counted() -> None:
    table = rows({"bicubic": [30, 32]})
    line = summarise([table[0], replace(table[1], ssim_body=math.nan, psnr_body_db=math.nan)], 100, 0)[0]
    assert (line.ssim_body_mean, line.ssim_body_n) == (0.8, 1) and line.psnr_body_db_n == 1


def test_an_error_without_bound_is_in_the_mean_whatever_the_others_are() -> None:
    table = rows({"bicubic": [30, 32]})
    line = summarise([table[0], replace(table[1], error_beyond=math.inf)], 100, 0)[0]
    assert line.error_beyond_mean == line.error_beyond_max == math.inf


def test_groups_hold_their_own_images_alone() -> None:
    table = rows({"bicubic": [30, 32, 40], "rrdb": [31, 35, 40]}, patients=["a", "a", "b"])
    score = {(line.group, line.method): line for line in grouped(table, lambda row: row.patient_id)}
    assert score["a", "rrdb"].psnr_db_mean == 33 and score["a", "rrdb"].psnr_gain_db == 2 and score["a", "rrdb"].n == 2
    assert score["b", "rrdb"].psnr_gain_db == 0 and score["b", "rrdb"].patients == 1
