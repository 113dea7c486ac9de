from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.evidence.showing import choose_samples, display_of, show
from tests.evidence import drawn
from tests.evidence.rows import rows


def test_samples_are_chosen_from_the_best_gain_through_the_median_to_the_worst() -> None:
    table = rows({"bicubic": [30.0] * 7, "rrdb": [31.0, 37, 33, 34, 32, 36, 35]})
    assert choose_samples(table, "rrdb", 3) == {"S2": "best", "S4": "median", "S1": "worst"}
    assert list(choose_samples(table, "rrdb", 99)) == ["S2", "S6", "S7", "S4", "S3", "S5", "S1"]
    assert choose_samples(table, "rrdb", 99)["S6"] == "rank 2 of 7"
    assert choose_samples(table, "rrdb", 1) == {"S4": "median"}
    assert choose_samples(rows({"bicubic": [30.0], "rrdb": [31.0]}), "rrdb", 5) == {"S1": "the only one"}


@pytest.mark.parametrize(("inside", "name"), [(-700.0, "lung"), (50.0, "soft tissue")])
def test_ct_is_windowed_by_what_is_in_the_body(inside: float, name: str) -> None:
    row = replace(drawn.pair(modality="CT").row, low=-1000.0, high=1000.0)
    image = np.full((8, 8), (inside + 1000) / 2000, np.float32)
    window = display_of(row, image, np.ones((8, 8), bool))
    level = {"lung": -600, "soft tissue": 40}[name]
    assert window.name.startswith(name) and window(np.array([(level + 1000) / 2000], np.float32))[0] == pytest.approx(
        0.5
    )


def test_other_modalities_are_shown_between_percentiles_of_the_body_and_ultrasound_as_it_is() -> None:
    pair = drawn.pair()
    image, body = pair.high[0].numpy(), pair.body[0].numpy()
    window = display_of(pair.row, image, body)
    low, high = np.percentile(image[body], [1, 99])
    assert (window.black, window.white) == (pytest.approx(low), pytest.approx(high))
    assert display_of(replace(pair.row, modality="US"), image, body).white == 1.0
    assert display_of(pair.row, np.full_like(image, 0.5), body).white == 1.0, "a flat image has no percentiles to span"


def test_no_name_of_a_method_takes_the_place_of_another_s_picture(tmp_path: Path) -> None:
    pair = drawn.pair()
    image = pair.high[0].numpy()
    shown = {name: image * share for name, share in (("rrdb", 0.9), ("rrdb-zoom", 0.6), ("rrdb-error", 0.3))}
    files = [
        file for of in show(tmp_path, "S1", "best", pair, 4, shown).record["methods"].values() for file in of.values()
    ]
    assert len(files) == len(set(files)) == len(list(tmp_path.iterdir()))


def test_a_sample_is_shown_with_its_detail_its_errors_and_its_profile(tmp_path: Path) -> None:
    pair = drawn.pair(200, 240)
    image = drawn.honest().sharpen(pair)[0, 0].clamp(0, 1).numpy()
    shown = show(tmp_path, "S1", "best", pair, 4, {"rrdb": image})
    assert all((tmp_path / name).is_file() for files in shown.record["methods"].values() for name in files.values())
    row, column, height, width = shown.record["zoom"]
    line = [point for point in shown.profile if point.method == "rrdb"]
    assert [point.column for point in line] == list(range(column, column + width))
    shown_row = shown.record["profile_row"]
    assert line[5].value == pytest.approx(float(image[shown_row, column + 5]))
    detail = pair.high[0, row : row + height, column : column + width].numpy()
    variations = np.abs(np.diff(detail)).sum(1)
    assert variations[shown_row - row] == variations.max() > np.median(variations)
    assert {point.method for point in shown.profile} == {"original", "rrdb"}
    assert np.asarray(Image.open(tmp_path / "S1-rrdb.error.png")).max() > 0
