import numpy as np
import pytest
from scipy.stats import wilcoxon

from components.evidence.comparing import by_patient, compare, holm, least_p, rank_biserial, signed_rank
from tests.evidence.rows import rows


def test_holm_is_the_published_step_down() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([]) == []


def test_the_signed_rank_test_is_exact_and_leaves_out_those_without_a_difference() -> None:
    values = np.array([0.3, 0.1, 0.5, 0.2, -0.05, 0.4])
    assert signed_rank(values) == pytest.approx(wilcoxon(values, method="exact").pvalue)
    assert signed_rank(np.append(values, 0.0)) == signed_rank(values)
    assert signed_rank(np.zeros(4)) == 1.0


def test_no_sample_of_six_patients_can_be_surer_than_its_least_p() -> None:
    assert signed_rank(np.arange(1.0, 7)) == pytest.approx(least_p(6)) == pytest.approx(1 / 32)


def test_the_effect_size_goes_from_all_worse_to_all_better() -> None:
    assert rank_biserial(np.array([0.1, 2.0, 0.3])) == 1.0 and rank_biserial(np.array([-0.1, -2.0])) == -1.0
    assert rank_biserial(np.array([1.0, -2.0, 3.0])) == pytest.approx((1 - 2 + 3) / 6)
    assert rank_biserial(np.zeros(3)) == 0


def test_a_patient_counts_once_however_many_images_there_are() -> None:
    assert by_patient(np.array([1.0, 3.0, 5.0]), ["a", "a", "b"]).tolist() == [2.0, 5.0]
    table = rows({"bicubic": [30, 30, 30, 30], "rrdb": [31, 31, 31, 29]}, patients=["a", "a", "a", "b"])
    comparisons = compare(table, {"bicubic": "bicubic"}, 200, 0)
    psnr = next(row for row in comparisons if row.measure == "psnr_db")
    assert (psnr.patients, psnr.patients_better, psnr.n) == (2, 1, 4)
    assert psnr.difference == pytest.approx(0.5) and psnr.p == 1.0


def test_every_method_meets_every_opponent_and_is_corrected_for_the_others() -> None:
    steps = np.arange(8) * 0.01
    table = rows({"bicubic": 30 + 0 * steps, "srcnn": 30.5 + steps, "rrdb": 31 + steps})
    comparisons = compare(table, {"bicubic": "bicubic", "leader": "rrdb"}, 200, 0)
    psnr = {(row.against, row.method): row for row in comparisons if row.measure == "psnr_db"}
    assert set(psnr) == {("bicubic", "srcnn"), ("bicubic", "rrdb"), ("leader", "bicubic"), ("leader", "srcnn")}
    best = psnr["bicubic", "rrdb"]
    assert best.p == pytest.approx(2 / 2**8) and best.p_holm == pytest.approx(2 * best.p) == best.p_holm_least
    assert best.difference == pytest.approx(1.035) and best.difference_low <= best.difference <= best.difference_high
    assert psnr["leader", "srcnn"].difference == pytest.approx(-0.5) and psnr["leader", "srcnn"].rank_biserial == -1
