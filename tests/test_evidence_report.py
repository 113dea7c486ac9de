"""Every number of the page's evidence is one of the CSV beside it."""

from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest

from components import report, validate
from components.evidence.comparing import compare
from components.evidence.measures import DEFINITIONS
from components.evidence_report import NAMES, evidence, sayings, spectrum
from components.evidence_rows import Comparison, CostLine, GroupScore, MethodSummary, ProfilePoint, SpectrumPoint
from components.handover import METHODS, Layout, read_rows, write_json
from tests import tables
from tests.evidence.rows import rows
from tests.settings import small
from tests.test_report import table
from tests.tracing import untraced


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("evidence"))
    tables.write_data(layout)
    tables.write_scores(layout)
    validate.run(layout, small())
    report.run(layout, small())
    return layout


def test_every_decimal_number_of_the_page_stands_in_a_file_beside_it(drawn: Layout) -> None:
    policy = tuple(asdict(small().promote).values())
    page = drawn.report.read_text()
    count, strange = untraced(page, drawn.data, policy)
    assert count > 500 and strange == {}
    changed = page.replace("</main>", "<p>31.4159 dB</p></main>")
    assert list(untraced(changed, drawn.data, policy)[1]) == ["31.4159"]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, "No champion was in service before this run"),
        ({"left_out": ""}, "Before this run sr-generator 3 (rrdb) was in service; the tables call it"),
        ({"left_out": "it saw S1"}, "was in service; it could not be compared: it saw S1."),
    ],
)
def test_the_champion_before_is_named_and_why_it_is_not_compared(
    drawn: Layout, record: dict[str, str], said: str
) -> None:
    about = {"name": "sr-generator", "version": "3", "method": "rrdb", "weights_sha256": "0" * 64}
    known = {key: value for key, value in record.items() if value}
    write_json(drawn.champion_report, about | known if record else {})
    assert said in report.render(report.gather(drawn, small()))


def signed(value: float, decimals: int = 2) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def body(page: str, caption: str) -> list[list[str]]:
    return [cells for cells in table(page, caption) if cells][1:]


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
    wanted = [
        row for row in read_rows(drawn.sr_comparisons, Comparison) if (row.measure, row.against) == (measure, against)
    ]
    assert len(wanted) == len(METHODS) - 1
    for cells, row in zip(body(drawn.report.read_text(), caption), wanted, strict=True):
        assert cells == [
            NAMES[row.method],
            signed(row.difference, decimals),
            f"[{signed(row.difference_low, decimals)}, {signed(row.difference_high, decimals)}]",
            f"{row.patients_better} of {row.patients}",
            signed(row.rank_biserial),
            f"{row.p:.3g}",
            f"{row.p_holm:.3g}",
        ]


def test_faithfulness_and_structure_are_those_of_the_summary(drawn: Layout) -> None:
    page = drawn.report.read_text()
    lines = read_rows(drawn.sr_summary, MethodSummary)
    for cells, line in zip(body(page, "Means over 7 images, and the worst"), lines, strict=True):
        assert cells[1:] == [
            f"{line.consistency_db_mean:.2f}",
            f"{line.consistency_worst_db_min:.2f}",
            signed(line.consistency_gain_db_min),
            f"{line.error_beyond_mean:.3f}",
            f"{line.error_beyond_max:.3f}",
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


def test_costs_are_those_of_the_csv(drawn: Layout) -> None:
    wanted = read_rows(drawn.sr_cost, CostLine)
    for cells, line in zip(body(drawn.report.read_text(), "Training and sharpening"), wanted, strict=True):
        assert cells[:4] == [
            NAMES[line.method],
            str(line.parameters),
            f"{line.weights_mb:.2f}",
            f"{line.train_seconds:.0f}",
        ]
        assert cells[4] == f"{line.seconds_per_megapixel:.2f}"


def test_curves_are_the_points_of_their_csv(drawn: Layout) -> None:
    points = [row for row in read_rows(drawn.sr_spectrum, SpectrumPoint) if row.method == "rrdb"]
    lines = spectrum(read_rows(drawn.sr_spectrum, SpectrumPoint), METHODS)["lines"]
    places = [tuple(map(float, place.split(","))) for place in lines["rrdb"].split()]
    assert [across for across, _ in places] == pytest.approx([200 * point.frequency for point in points], abs=0.01)
    assert all(a[1] < b[1] for a, b in pairwise(places)), "less power is further down"
    own = [row for row in read_rows(drawn.sr_profiles, ProfilePoint) if (row.sample, row.method) == ("S1", "original")]
    drawing = evidence(drawn, METHODS)["profiles"]["S1"]["original"]
    assert len(drawing.split()) == len(own) and drawing in drawn.report.read_text()


def test_few_patients_are_said_to_be_too_few_and_many_are_not() -> None:
    few = compare(rows({"bicubic": [30.0] * 4, "rrdb": [31.0, 32, 33, 34]}), {"bicubic": "bicubic"}, 100, 0)
    assert "4 patients are too few" in sayings(few, NAMES)[0] and "0.125" in sayings(few, NAMES)[0]
    many = compare(rows({"bicubic": [30.0] * 9, "rrdb": [31.0 + n for n in range(9)]}), {"bicubic": "bicubic"}, 100, 0)
    assert sayings(many, NAMES) == ["Against Bicubic: RRDB better."]
    same = [replace(one, p_holm=0.5) for one in many]
    assert "no difference that the corrected tests can tell" in sayings(same, NAMES)[0]


def test_every_measure_is_defined_on_the_page(drawn: Layout, tmp_path: Path) -> None:
    page = drawn.report.read_text()
    defined = [cells[0] for cells in body(page, "Every measure, with its formula")]
    assert defined == [title for title, *_ in DEFINITIONS.values()]
