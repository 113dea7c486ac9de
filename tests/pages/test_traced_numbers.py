"""Every number of the page's evidence is one of the CSV beside it."""

import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from components import report, validate
from components.evidence.measures import DEFINITIONS
from components.handover import METHODS, Layout, read_rows
from components.handover.sr_rows import Comparison, GroupScore, MethodSummary, ProfilePoint, SpectrumPoint
from components.pages.labels import NAMES
from components.pages.super_resolution import signed, spectrum
from tests import tables
from tests.pages.evidence_page import body, drawn
from tests.settings import small
from tests.tracing import Page, untraced

__all__ = ["drawn"]  # fixtures


def test_every_number_of_the_page_is_that_of_the_files_beside_it(drawn: Layout) -> None:
    page = drawn.report.read_text()
    assert len(Page(page).tables) > 15 and len(re.findall(r"\d\.\d", page)) > 500
    assert untraced(page, drawn, small()) == []


@pytest.mark.parametrize(
    "drawing",
    [
        {"images": 12, "others": ("champion", "swin2sr_large", "HAT-L")},
        {"images": 1, "patients": 1},
        {"images": 8, "patients": 3},
    ],
)
def test_so_is_every_number_of_a_page_of_many_methods_or_of_few_patients(
    tmp_path: Path, drawing: dict[str, Any]
) -> None:
    layout = Layout(tmp_path)
    tables.write_data(layout)
    tables.write_scores(layout, **drawing)
    validate.run(layout, small())
    report.run(layout, small())
    assert untraced(layout.report.read_text(), layout, small()) == []


@pytest.mark.parametrize(
    ("pattern", "forged"),
    [
        (r"PSNR on 7 held-out images of 7 patients, \+", "PSNR on 7 held-out images of 7 patients, −"),
        (r"of 7 patients", "of 9000 patients"),
        (r"<b>[0-9.]+ dB</b>", "<b>nan dB</b>"),
        (r"<td>1</td>", "<td>1.2e-09</td>"),
        (r"<td>−", "<td>+"),
        (r"✗ no", "✓ yes"),
        (r"</main>", "<p>31.4159 dB</p></main>"),
        (r"<tr><th scope=\"row\">SRCNN</th>.*?</tr>", ""),
    ],
)
def test_a_forged_page_is_caught(drawn: Layout, pattern: str, forged: str) -> None:
    page, changed = re.subn(pattern, forged, drawn.report.read_text(), count=1, flags=re.DOTALL)
    assert changed == 1 and untraced(page, drawn, small()) != []


def test_no_digit_of_the_page_can_be_another(drawn: Layout) -> None:
    page = drawn.report.read_text()
    shown = re.compile(r"(?<=>)[^<>]*\d[^<>]*(?=</)").finditer(page, page.index("<main>"), page.index("<script>"))
    read = [match for match in shown if " UTC" not in match[0]]  # when the page was made
    assert len(read) > 300
    for match in random.Random(0).sample(read, 40):
        digit = match.start() + re.search(r"\d", match[0]).start()  # type: ignore[union-attr]
        forged = page[:digit] + str((int(page[digit]) + 1) % 10) + page[digit + 1 :]
        assert untraced(forged, drawn, small()) != [], match[0]


@pytest.mark.parametrize(
    ("measure", "against", "caption", "decimals"),
    [
        ("psnr_db", "bicubic", "PSNR (dB) against bicubic", 2),
        ("ssim", "bicubic", "SSIM against bicubic", 4),
        ("psnr_db", "leader", "PSNR (dB) against the best network", 2),
        ("ssim", "leader", "SSIM against the best network", 4),
    ],
)
def test_the_comparisons_are_those_of_the_csv(
    drawn: Layout, measure: str, against: str, caption: str, decimals: int
) -> None:
    expected = [
        row for row in read_rows(drawn.sr_comparisons, Comparison) if (row.measure, row.against) == (measure, against)
    ]
    assert len(expected) == len(METHODS) - 1
    for cells, row in zip(body(drawn.report.read_text(), caption), expected, strict=True):
        assert cells == [
            NAMES[row.method],
            signed(row.difference, decimals),
            f"[{signed(row.difference_low, decimals)}, {signed(row.difference_high, decimals)}]",
            f"{row.patients_better} of {row.patients}",
            signed(row.rank_biserial),
            f"{row.p:.3g}",
            f"{row.p_holm:.3g}",
        ]


def test_consistency_and_structure_are_those_of_the_summary(drawn: Layout) -> None:
    page = drawn.report.read_text()
    lines = read_rows(drawn.sr_summary, MethodSummary)
    for cells, line in zip(body(page, "Means over 7 images, and the worst"), lines, strict=True):
        assert cells[1:] == [
            f"{line.consistency_db_mean:.2f}",
            f"{line.consistency_worst_db_min:.2f}",
            signed(line.consistency_gain_db_min),
            f"{line.error_beyond_mean:.3f}",
            f"{line.error_beyond_max:.3f}",
            f"{line.error_beyond_worst_max:.2f}",
            f"{line.energy_beyond_mean:.3f}",
        ]
    for cells, line in zip(body(page, "Errors by frequency"), lines, strict=True):
        assert line.ms_ssim_mean is not None and line.lpips_mean is None
        assert cells[1:] == [
            f"{line.error_low_mean:.4f}",
            f"{line.error_middle_mean:.3f}",
            f"{line.edge_error_mean:.3f}",
            f"{line.ms_ssim_mean:.4f}",
            "–",
        ]
    assert "LPIPS was not measured" in page


@pytest.mark.parametrize(
    ("name", "caption", "first"), [("modalities", "within each modality", 3), ("patients", "of each patient", 4)]
)
def test_modalities_and_patients_are_those_of_their_csv(drawn: Layout, name: str, caption: str, first: int) -> None:
    lines = {(row.group, row.method): row for row in read_rows(getattr(drawn, f"sr_{name}"), GroupScore)}
    shown = body(drawn.report.read_text(), f"Mean PSNR (dB), and SSIM below it, {caption}")
    assert {cells[0] for cells in shown} == {group for group, _ in lines}
    for cells in shown:
        found = [lines[cells[0], method] for method in METHODS]
        assert cells[first:] == [f"{row.psnr_db_mean:.2f}{row.ssim_mean:.4f}" for row in found]


def test_curves_are_the_points_of_their_csv(drawn: Layout) -> None:
    points = [row for row in read_rows(drawn.sr_spectrum, SpectrumPoint) if row.method == "rrdb"]
    lines = spectrum(read_rows(drawn.sr_spectrum, SpectrumPoint), METHODS)["lines"]
    places = [tuple(map(float, place.split(","))) for place in lines["rrdb"].split()]
    assert [across for across, _ in places] == pytest.approx([200 * point.frequency for point in points], abs=0.01)
    assert all(a[1] < b[1] for a, b in pairwise(places)), "less power is further down"
    profile = [
        row for row in read_rows(drawn.sr_profiles, ProfilePoint) if (row.sample, row.method) == ("S1", "original")
    ]
    drawing = report.gather(drawn, small())["profiles"]["S1"]["original"]
    assert len(drawing.split()) == len(profile) and drawing in drawn.report.read_text()


def test_every_measure_is_defined_on_the_page(drawn: Layout, tmp_path: Path) -> None:
    page = drawn.report.read_text()
    defined = [cells[0] for cells in body(page, "Every measure, with its formula")]
    assert defined == [title for title, *_ in DEFINITIONS.values()]
