import math

import numpy as np
import pytest

from components.evidence.averaging import count, for_json, gains, interval, mean

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("values", "wanted", "over"),
    [([1.0, 3.0], 2.0, 2), ([1.0, INF, NAN, 3.0], 2.0, 2), ([INF, INF], INF, 0), ([NAN, -INF], -INF, 0)],
)
def test_a_mean_is_over_what_is_finite_and_infinite_where_all_is(values: list[float], wanted: float, over: int) -> None:
    assert mean(np.array(values)) == wanted and count(np.array(values)) == over


def test_a_mean_of_nothing_that_is_defined_is_not_a_number() -> None:
    assert math.isnan(mean(np.array([NAN]))) and math.isnan(mean(np.array([INF, -INF])))


def test_two_perfect_images_are_equally_good() -> None:
    assert gains(np.array([INF, INF, 31.0]), np.array([INF, 30.0, 30.0])).tolist() == [0.0, INF, 1.0]


def test_an_interval_is_of_the_finite_values_and_that_of_infinite_ones_is_infinite() -> None:
    assert interval(np.array([INF, INF]), ["a", "b"], 100, 0) == (INF, INF)
    low, high = interval(np.array([1.0, 2.0, INF]), ["a", "b", "c"], 100, 0)
    assert 1 <= low < high <= 2


def test_json_is_given_no_number_that_it_has_not() -> None:
    assert for_json({"a": INF, "b": 1.5, "c": "x", "d": NAN}) == {"a": None, "b": 1.5, "c": "x", "d": None}
