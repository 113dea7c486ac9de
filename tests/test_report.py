import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from components import report, validate
from components.handover import (
    METHODS,
    IndexRow,
    Layout,
    MethodSummary,
    SampleScore,
    StepError,
    read_rows,
    write_rows,
)
from tests import tables
from tests.settings import small


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("report"))
    index = tables.write_data(layout)
    tables.write_scores(layout)
    validate.run(layout, small())
    bad = replace(index[0], quarantined=True, reason="<script>alert(1)</script>", file_name="bad & worse.dcm")
    write_rows(layout.index, IndexRow, [*index, bad])
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
    start = page.index(caption)
    return Tables("<table>" + page[start : page.index("</table>", start)]).tables[0]


@pytest.mark.parametrize(("measure", "caption", "digits"), [("psnr_db", "PSNR (dB) of", 2), ("ssim", "SSIM of", 4)])
def test_every_number_of_the_sample_tables_is_that_of_the_csv(
    drawn: Layout, measure: str, caption: str, digits: int
) -> None:
    rows = read_rows(drawn.sr_samples, SampleScore)
    found = {cells[0]: cells[1:] for cells in table(drawn.report.read_text(), caption) if cells}
    for method in METHODS:
        wanted = [f"{getattr(row, measure):.{digits}f}" for row in rows if row.method == method]
        assert found[report.NAMES[method]] == wanted


def test_the_min_max_table_is_the_summary_best_first(drawn: Layout) -> None:
    rows = [cells for cells in table(drawn.report.read_text(), "Minimum to maximum") if cells][1:]
    for cells, line in zip(rows, read_rows(drawn.sr_summary, MethodSummary), strict=True):
        assert cells[0] == report.NAMES[line.method]
        assert cells[1] == f"{line.psnr_db_min:.2f} – {line.psnr_db_max:.2f}"
        assert cells[4] == f"{line.ssim_mean:.4f}"


def test_modality_means_are_means_of_that_modality_alone(drawn: Layout) -> None:
    rows = read_rows(drawn.sr_samples, SampleScore)
    entry = next(one for one in report.by_modality(rows) if one["modality"] == "US")
    own = [row.psnr_db for row in rows if row.modality == "US" and row.method == "rrdb"]
    assert entry["means"]["rrdb"]["psnr_db"] == pytest.approx(sum(own) / len(own))


def test_the_page_needs_nothing_from_outside(drawn: Layout) -> None:
    page = drawn.report.read_text()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert "http://" not in page and "https://" not in page and str(drawn.root) not in page


def test_what_came_from_outside_is_escaped_and_shown(drawn: Layout) -> None:
    page = drawn.report.read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page and "bad &amp; worse.dcm" in page


def test_the_simulated_cohort_is_called_so_and_radiographs_come_first(drawn: Layout) -> None:
    page = drawn.report.read_text()
    assert "SIMULATED cohort" in page and "0.812 [0.703, 0.906]" in page
    assert next(entry["modality"] for entry in report.pictures(drawn)) == "CR"


def test_policy_lines_hold_or_not(drawn: Layout) -> None:
    summary = read_rows(drawn.sr_summary, MethodSummary)
    lines = report.policy_lines(summary, replace(small().promote, floor_psnr_db=99.0))
    assert next(line["holds"] for line in lines) is False


def test_a_missing_table_or_picture_is_named(drawn: Layout, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"sr_summary\.csv"):
        report.run(Layout(tmp_path), small())
    subprocess.run(["cp", "-r", str(drawn.root), str(tmp_path / "copy")], check=True)
    (tmp_path / "copy/data/reports/pictures/S1-rrdb-zoom.png").unlink()
    with pytest.raises(StepError, match=r"S1-rrdb-zoom\.png"):
        report.run(Layout(tmp_path / "copy"), small())
