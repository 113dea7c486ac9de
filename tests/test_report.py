import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from components import report, validate
from components.handover import (
    METHODS,
    IndexRow,
    Layout,
    StepError,
    read_rows,
    write_rows,
)
from components.handover.classifier_rows import SharpenedClassification
from components.handover.sr_rows import MethodSummary, SampleScore
from components.pages.labels import NAMES
from tests import tables
from tests.settings import small


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("report"))
    index = tables.write_data(layout)
    tables.write_scores(layout)
    validate.run(layout, small())
    bad = replace(index[0], quarantined=True, reason="<script>alert(1)</script>", file_name="bad & worse.dcm")
    twins = [replace(bad, reason=f"duplicate of {'a' * 15}{digit}: same pixels") for digit in "12"]
    write_rows(layout.index, IndexRow, [*index, bad, *twins])
    report.run(layout, small())
    return layout


class Tables(HTMLParser):
    """Every table of a page as rows of cell texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.tables[-1][-1][-1] += data


def table(page: str, caption: str) -> list[list[str]]:
    start = page.index(f"<caption>{caption}")
    return Tables("<table>" + page[start : page.index("</table>", start)]).tables[0]


@pytest.mark.parametrize(("measure", "caption", "digits"), [("psnr_db", "PSNR (dB) of", 2), ("ssim", "SSIM of", 4)])
def test_every_number_of_the_sample_tables_is_that_of_the_csv(
    drawn: Layout, measure: str, caption: str, digits: int
) -> None:
    rows = read_rows(drawn.sr_samples, SampleScore)
    found = {cells[0]: cells[1:] for cells in table(drawn.report.read_text(), caption) if cells}
    for method in METHODS:
        wanted = [f"{getattr(row, measure):.{digits}f}" for row in rows if row.method == method]
        assert found[NAMES[method]] == wanted


def test_the_min_max_table_is_the_summary_best_first(drawn: Layout) -> None:
    rows = [cells for cells in table(drawn.report.read_text(), "Minimum to maximum") if cells][1:]
    for cells, line in zip(rows, read_rows(drawn.sr_summary, MethodSummary), strict=True):
        assert cells[0] == NAMES[line.method]
        assert cells[1] == f"{line.psnr_db_min:.2f} – {line.psnr_db_max:.2f}"
        assert cells[4] == f"{line.ssim_mean:.4f}"


def test_the_page_needs_nothing_from_outside(drawn: Layout) -> None:
    page = drawn.report.read_text()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    loaded = re.findall(r'\bsrc="([^"]+)"', page)
    assert loaded and all(link.startswith("data:") for link in loaded)
    near = [link for link in links if not link.startswith(("data:", "#", "http://127.0.0.1:5000"))]
    assert near and all((drawn.reports / link).is_file() for link in near)
    assert "https://" not in page and str(drawn.root) not in page


def test_what_came_from_outside_is_escaped_and_shown(drawn: Layout) -> None:
    page = drawn.report.read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page and "bad &amp; worse.dcm" in page


def test_the_simulated_cohort_is_called_so(drawn: Layout) -> None:
    page = drawn.report.read_text()
    assert "SIMULATED cohort" in page and "<b>0.812</b>95 % interval 0.703 to 0.906" in page


def test_policy_lines_hold_or_not(drawn: Layout) -> None:
    summary = read_rows(drawn.sr_summary, MethodSummary)
    read = read_rows(drawn.sr_classification, SharpenedClassification)[0]
    policy = replace(small().promote, floor_psnr_db=99.0, classifier_floor_auroc=0.8)

    def held(auroc: float, **changes: float) -> dict[str, bool]:
        lines = report.policy_lines(summary, auroc, replace(read, **changes), policy)
        return {line.rule: line.holds for line in lines}

    best = max((line for line in summary if line.method != "bicubic"), key=lambda line: line.psnr_db_mean)
    assert report.policy_lines(summary, 0.8, read, policy)[0].found == best.psnr_db_mean
    assert not held(0.79)["mean PSNR (dB) at least"] and not held(0.79)["AUROC of the best classifier at least"]
    assert held(0.8)["AUROC of the best classifier at least"]
    cost, agreement = "AUROC lost by sharpening at most", "agreement with the reading of the original at least"
    assert held(0.8, auroc_cost=0.05)[cost] and not held(0.8, auroc_cost=0.06)[cost]
    assert held(0.8, agreement=0.8)[agreement] and not held(0.8, agreement=0.79)[agreement]


def test_the_verdict_names_the_first_method_its_gain_and_how_few_patients_there_are(drawn: Layout) -> None:
    page, first = drawn.report.read_text(), read_rows(drawn.sr_summary, MethodSummary)[0]
    assert f"{NAMES[first.method]} is first by mean PSNR on 7 held-out images of 7 patients" in page
    assert "7 patients are few" in page
    if first.method != "bicubic":
        low, high = (f"{value:+.2f}".replace("-", "−") for value in (first.psnr_gain_db_low, first.psnr_gain_db_high))
        assert f"{low} to {high} dB" in page


def test_the_page_says_so_where_bicubic_is_first(drawn: Layout) -> None:
    content = report.gather(drawn, small())
    content["best"] = content["bicubic"]
    assert "no network beat plain interpolation" in report.render(content)


def test_bars_and_whiskers_stand_within_the_axis(drawn: Layout) -> None:
    summary = read_rows(drawn.sr_summary, MethodSummary)
    for measure in ("psnr_db", "ssim"):
        drawing = report.chart(summary, measure, "")
        assert drawing["ticks"][0] == 0 and drawing["ticks"][-1] == drawing["top"]
        assert all(0 <= bar["low"] <= bar["mean"] <= bar["high"] <= drawing["top"] for bar in drawing["bars"])


def test_what_lies_outside_the_axis_is_drawn_at_its_end_and_told_as_it_is(drawn: Layout) -> None:
    summary = read_rows(drawn.sr_summary, MethodSummary)
    content = report.gather(drawn, small())
    odd = [replace(summary[0], psnr_db_min=-1.5, psnr_db_max=math.inf), *summary[1:]]
    content["charts"] = [report.chart(odd, "psnr_db", "PSNR (dB)")]
    page = report.render(content)
    assert content["charts"][0]["top"] == 50 and 'title="from −1.50 to ∞"' in page
    assert "M0.00 16H100.00" in page


def test_the_detail_is_framed_in_percent_of_the_whole() -> None:
    entry = {"zoom": [10, 40, 50, 20], "size": [200, 80]}
    assert report.zoom_box(entry) == {"top": 5.0, "left": 50.0, "height": 25.0, "width": 25.0}
    assert report.zoom_box({"zoom": [10, 40, 50, 20]}) is None


def test_quarantine_is_counted_by_reason_without_the_image_it_names(drawn: Layout) -> None:
    assert dict(report.data(drawn)["reasons"]) == {"duplicate": 2, "<script>alert(1)</script>": 1}


def test_a_file_that_no_patient_was_read_from_is_shown_by_its_kind_alone(drawn: Layout, tmp_path: Path) -> None:
    copy = copied(drawn, tmp_path)
    index = read_rows(copy.index, IndexRow)
    names = ("Meier_Anna_19640312_Befund.pdf", "Schulz.pdf", "Anna.Meier", "Meier_Anna", "read.dcm")
    unread = [replace(index[0], patient_id="", quarantined=True, reason="no DICOM", file_name=name) for name in names]
    read = replace(unread[-1], patient_id="P0")
    write_rows(copy.index, IndexRow, [*index, *unread[:-1], read])
    report.run(copy, small())
    page = copy.report.read_text()
    assert "Meier" not in page and "Anna" not in page and "Schulz" not in page
    rows = [cells for cells in table(page, "Quarantined files") if "no DICOM" in cells]
    assert rows == [[".pdf", "2", "no DICOM"], ["another kind", "2", "no DICOM"], ["read.dcm", "1", "no DICOM"]]


def test_a_page_says_whose_numbers_a_mean_is_of(drawn: Layout, tmp_path: Path) -> None:
    copy = copied(drawn, tmp_path)
    rows = read_rows(copy.sr_samples, SampleScore)
    write_rows(
        copy.sr_samples,
        SampleScore,
        [replace(row, ms_ssim=None) if row.sample in ("S1", "S2") else row for row in rows],
    )
    report.run(copy, small())
    page = copy.report.read_text()
    assert "means over 7 images, MS-SSIM over the 5 of them" in page
    assert "values along row 16 of the image, across the detail" in page


def test_what_validation_found_is_shown_with_what_to_do(drawn: Layout) -> None:
    content = report.gather(drawn, small())
    content["failed"] = [content["validation"]["expectations"][0] | {"unexpected": ["x <b>"], "remedy": "Look & mend."}]
    page = report.render(content)
    assert "Expectations that failed" in page and "x &lt;b&gt;" in page and "Look &amp; mend." in page


def test_a_missing_table_or_picture_is_named(drawn: Layout, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"sr_summary\.csv"):
        report.run(Layout(tmp_path), small())
    copy = copied(drawn, tmp_path)
    (copy.pictures / "S1-rrdb-zoom.png").unlink()
    with pytest.raises(StepError, match=r"S1-rrdb-zoom\.png"):
        report.run(copy, small())


def test_a_method_that_is_missing_is_named_with_the_file_it_is_missing_from(drawn: Layout, tmp_path: Path) -> None:
    copy = copied(drawn, tmp_path)
    rows = read_rows(copy.sr_samples, SampleScore)
    write_rows(copy.sr_samples, SampleScore, [row for row in rows if (row.sample, row.method) != ("S3", "srgan")])
    with pytest.raises(StepError, match=r"sr_samples\.csv: expected srgan of S3"):
        report.run(copy, small())
    write_rows(copy.sr_samples, SampleScore, [])
    with pytest.raises(StepError, match=r"sr_samples\.csv: expected held-out images"):
        report.run(copy, small())
    write_rows(copy.sr_summary, MethodSummary, read_rows(copy.sr_summary, MethodSummary)[1:])
    with pytest.raises(StepError, match=r"sr_summary\.csv: expected"):
        report.run(copy, small())


def copied(drawn: Layout, place: Path) -> Layout:
    shutil.copytree(drawn.root, place / "copy")
    return Layout(place / "copy")
