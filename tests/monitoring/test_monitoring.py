from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from components.dicom.read import read_dicom
from components.handover import Layout, StepError, read_rows
from components.imaging.decoding import UnreadableImage
from components.imaging.geometry import content_box
from components.imaging.intensity import padding_of, percentile_range, to_unit
from components.monitoring import drift, enhancement_log, image_statistics
from components.monitoring.drift import DRIFTED, FEW_SEEN, SAME, UNKNOWN, Finding
from components.monitoring.enhancement_log import Record
from tests import prepared
from tests.drawing import dicom, shapes, write_dicom

PERCENTILES = (0.1, 99.9)
DREW = image_statistics.measure(shapes(64, 48))


def record(modality: str = "CT", statistics: dict[str, float] | None = None, days_ago: float = 0) -> Record:
    at = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(timespec="seconds")
    return Record(at, modality, 64, 48, 1, "sr-generator", "3", 0.5, DREW if statistics is None else statistics)


def population(count: int, seed: int, shift: float = 0.0) -> list[dict[str, float]]:
    """Statistics that are normal with a deviation of 1, each independent; `mean` moved by `shift`."""
    drawn = np.random.default_rng(seed).normal(size=(count, len(image_statistics.STATISTICS)))
    rows = [dict(zip(image_statistics.STATISTICS, map(float, row), strict=True)) for row in drawn]
    return [row | {"mean": row["mean"] + shift} for row in rows]


def check(before: list[dict[str, float]], now: list[dict[str, float]], modality: str = "CT") -> list[Finding]:
    return drift.examine({"CT": before}, [record(modality, statistics) for statistics in now])


def test_statistics_are_what_their_names_say() -> None:
    image = shapes(64, 256)
    measured = image_statistics.measure(image)
    assert set(measured) == set(image_statistics.STATISTICS)
    assert measured["mean"] == pytest.approx(image.mean()) and measured["contrast"] == pytest.approx(image.std())
    assert measured["side"] == 7
    ramp = np.tile(np.linspace(0, 1, 65, dtype=np.float32), (65, 1))
    assert image_statistics.measure(ramp)["edges"] == pytest.approx(1 / 64, rel=1e-4)
    noisy = (np.random.default_rng(0).normal(0.5, 0.05, (128, 128))).astype(np.float32)
    assert image_statistics.measure(noisy)["noise"] == pytest.approx(0.05, rel=0.1)


def wave(cycles: float, side: int = 64) -> NDArray[np.float32]:
    return np.tile(0.5 + 0.5 * np.sin(2 * np.pi * cycles * np.arange(side)), (side, 1)).astype(np.float32)


def test_fine_power_tells_fine_waves_from_coarse_ones() -> None:
    assert image_statistics.measure(wave(0.05))["fine_power"] < 0.01
    assert image_statistics.measure(wave(0.4))["fine_power"] > 0.99
    assert image_statistics.measure(np.full((32, 32), 0.5, np.float32))["fine_power"] == 0


@pytest.mark.parametrize("modality", ["CT", "CR"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_an_image_is_measured_as_it_would_be_prepared(tmp_path: Path, modality: str, photometric: str) -> None:
    stored = (shapes(60, 80) * 3000).astype(np.uint16)
    path = write_dicom(tmp_path / "one.dcm", dicom(stored, modality, PhotometricInterpretation=photometric))
    whole = read_dicom(path).pixels[0]
    unit = to_unit(whole, *percentile_range(whole, *PERCENTILES, padding_of(whole)))
    content = unit[content_box(unit, image_statistics.BLANK)]
    assert image_statistics.observe(path, PERCENTILES) == (modality, pytest.approx(image_statistics.measure(content)))


def test_of_a_film_the_middle_frame_is_measured_and_of_colour_its_luma(tmp_path: Path) -> None:
    film = np.stack([(shapes(48, 48, seed=number) * 200).astype(np.uint8) for number in range(5)])
    middle = write_dicom(tmp_path / "middle.dcm", dicom(film[2], "US"))
    whole = write_dicom(tmp_path / "film.dcm", dicom(film, "US"))
    colour = write_dicom(tmp_path / "colour.dcm", dicom(np.repeat(film[2][..., None], 3, axis=-1), "US"))
    expected = image_statistics.observe(middle, PERCENTILES)
    assert image_statistics.observe(whole, PERCENTILES) == expected
    assert image_statistics.observe(colour, PERCENTILES) == ("US", pytest.approx(expected[1], rel=1e-4))


def test_an_image_of_one_row_has_no_statistics(tmp_path: Path) -> None:
    row = write_dicom(tmp_path / "row.dcm", dicom((shapes(40, 56)[20:21] * 3000).astype(np.uint16)))
    assert image_statistics.observe(row, PERCENTILES) == ("CT", {})


def test_an_image_of_one_value_has_no_statistics_and_a_broken_one_is_named(tmp_path: Path) -> None:
    flat = write_dicom(tmp_path / "flat.dcm", dicom(np.full((32, 32), 7, np.uint16)))
    assert image_statistics.observe(flat, PERCENTILES) == ("CT", {})
    (tmp_path / "broken.dcm").write_bytes(flat.read_bytes()[:200])
    with pytest.raises(UnreadableImage, match=r"broken\.dcm"):
        image_statistics.observe(tmp_path / "broken.dcm", PERCENTILES)


def test_records_of_many_writers_are_all_there_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert enhancement_log.records(layout, 7) == []
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda number: enhancement_log.note(layout, replace(record(), frames=number)), range(40)))
    enhancement_log.note(layout, record(days_ago=8))
    with enhancement_log.records_path(layout).open("a") as handle:
        handle.write(json.dumps({"at": "2026"})[:-3])
    assert sorted(record_read.frames for record_read in enhancement_log.records(layout, 7)) == list(range(40))
    assert len(enhancement_log.records(layout, 9)) == 41
    enhancement_log.note(layout, record())
    assert len(enhancement_log.records(layout, 7)) == 41, "what follows a cut line is not lost with it"


def test_lines_of_another_version_are_read_as_far_as_they_can_be_and_counted(tmp_path: Path) -> None:
    layout, messages = Layout(tmp_path), []
    whole = asdict(record())
    older = {name: value for name, value in whole.items() if name != "frames"}
    fewer = whole | {"statistics": {"mean": 0.5}}
    tmp_path.joinpath("mlruns").mkdir()
    lines = [json.dumps(content) for content in (whole, whole | {"site": "x"}, older, fewer, whole | {"at": 5}, [])]
    enhancement_log.records_path(layout).write_text("\n".join([*lines, "{", ""]))
    assert enhancement_log.records(layout, 7, messages.append) == [record(), record()]
    assert messages == ["enhancements.jsonl: 5 lines are no records of this version's and were passed over"]


@pytest.mark.parametrize("block", [1, 300, 5_000, 10**6])
def test_of_years_of_records_only_the_end_is_read(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, messages = Layout(tmp_path), []
    for days_ago in range(60, 0, -1):
        enhancement_log.note(layout, record(days_ago=days_ago - 0.5))
    whole = enhancement_log.records(layout, 7)
    monkeypatch.setattr(enhancement_log, "BLOCK", block)
    assert enhancement_log.records(layout, 7, messages.append) == whole and len(whole) == 7 and not messages
    if block == 5_000:
        assert len(enhancement_log._since(enhancement_log.records_path(layout), whole[0].at)) < 40


def test_the_reference_is_what_was_trained_on_by_modality(tmp_path: Path) -> None:
    layout = prepared.super_resolution(tmp_path)
    trained_on = drift.reference(layout)
    assert {modality: len(rows) for modality, rows in trained_on.items()} == {"CT": 2, "MR": 1}
    assert trained_on["CT"][0] == image_statistics.measure(shapes(64, 64, seed=0))
    with pytest.raises(StepError, match=r"index\.csv"):
        drift.reference(Layout(tmp_path / "nothing"))


def test_what_is_alike_is_told_to_be_alike() -> None:
    verdicts = [{row.verdict for row in check(population(80, seed), population(60, 100 + seed))} for seed in range(20)]
    assert sum(verdict != {SAME} for verdict in verdicts) <= 2, "5 % of pages may raise a false alarm"


def test_a_shift_of_one_statistic_is_found_and_no_other() -> None:
    findings = check(population(80, 1), population(60, 2, shift=1.5))
    assert {row.statistic: row.verdict for row in findings if row.verdict == DRIFTED} == {"mean": DRIFTED}
    (shifted,) = (row for row in findings if row.verdict == DRIFTED)
    assert shifted.distance == pytest.approx(1.5, abs=0.3) and drift.alarming(findings)
    assert drift.summary(findings, 7) == "drifted: CT: mean"


def test_p_is_corrected_over_all_tests_of_the_page() -> None:
    before, now = population(40, 3), population(40, 4)
    findings = check(before, now)
    plain = sorted(
        float(stats.ks_2samp([row[name] for row in before], [row[name] for row in now]).pvalue)
        for name in image_statistics.STATISTICS
    )
    by_hand, least = [], 0.0
    for rank, p in enumerate(plain):
        least = max(least, min(1.0, p * (len(plain) - rank)))
        by_hand.append(least)
    assert sorted(row.p_holm for row in findings) == pytest.approx(by_hand)


def test_a_shift_that_is_sure_but_small_is_no_drift() -> None:
    findings = check(population(20_000, 5), population(20_000, 6, shift=0.1))
    (mean,) = (row for row in findings if row.statistic == "mean")
    assert mean.p_holm < 1e-6 and mean.verdict == SAME


def test_few_images_and_unknown_modalities_are_told_apart() -> None:
    findings = check(population(80, 1), population(5, 2)) + check(population(80, 1), population(30, 2), "MG")
    assert {(row.modality, row.verdict) for row in findings} == {("CT", FEW_SEEN), ("MG", UNKNOWN)}
    assert all(math.isnan(row.p_holm) for row in findings)
    assert drift.summary(findings, 7) == f"{UNKNOWN}: MG; {FEW_SEEN}: CT"
    assert drift.alarming(findings) and not drift.alarming(findings[:6])
    assert drift.as_table(findings)[0]["p_holm"] is None


def test_pictures_and_flat_images_count_as_seen_and_are_not_compared() -> None:
    assert drift.examine({"CT": population(30, 1)}, [record(statistics={})]) == []


def test_the_page_says_what_was_found_and_the_table_beside_it_the_same(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    findings = check(population(80, 1), population(60, 2, shift=1.5))
    records = [record(), replace(record(), seconds=2.5, version="4"), record(statistics={})]
    page = drift.write(layout, findings, records, 7).read_text()
    assert "Drifted: CT: mean." in page and "3 images enhanced" in page and "sr-generator 3, sr-generator 4" in page
    assert "0.5 s an image (median), 2.5 s the slowest" in page and "1 of them left no statistics" in page
    assert page.count(f'<td class="alarm">{DRIFTED}</td>') == 1 and "://" not in page
    kept = read_rows(layout.mlruns / "monitoring" / "drift.csv", Finding)
    assert [(row.statistic, row.verdict) for row in kept] == [(row.statistic, row.verdict) for row in findings]
    for row in kept:
        assert f"<td>{row.distance:.2f}</td>" in page and f"<td>{row.p_holm:.3g}</td>" in page


def test_a_page_about_nothing_says_so(tmp_path: Path) -> None:
    page = drift.write(Layout(tmp_path), [], [], 7).read_text()
    assert "No image was enhanced in the last 7 days." in page and "<table>" not in page
