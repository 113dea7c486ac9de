from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components import report
from components.handover import Layout, StepError, read_rows, write_rows
from components.reader_report import effect, gathered
from components.reader_rows import ReaderSummary, SharpenedReading
from tests.tables import write_readers
from tests.test_report import copied, drawn, table

__all__ = ["drawn"]  # the page of `tests/test_report.py`, drawn once more


def test_every_number_of_the_readers_is_that_of_the_csv(drawn: Layout) -> None:
    line = read_rows(drawn.readers, ReaderSummary)[0]
    cells = [cells for cells in table(drawn.report.read_text(), "Every reader, the highest") if cells][1]
    assert cells[:2] == ["DenseNet-201", f"{line.auroc:.3f} [{line.auroc_low:.3f}, {line.auroc_high:.3f}]"]
    error = (line.calibration_error, line.calibration_error_low, line.calibration_error_high)
    assert cells[6:] == ["{:.3f} [{:.3f}, {:.3f}]".format(*error), f"{line.threshold:.4f}", f"{line.train_seconds:.0f}"]


def test_what_sharpening_does_to_the_reader_is_that_of_the_csv(drawn: Layout) -> None:
    page = drawn.report.read_text()
    rows = [cells for cells in table(page[page.index('id="reading-sharpened"') :], "80 images of 40") if cells][1:]
    lines = read_rows(drawn.sr_reading, SharpenedReading)
    assert [cells[0] for cells in rows] == ["Original", "Downsampled", *report.NAMES.values()]
    for cells, line in zip(rows, lines, strict=True):
        assert cells[1].startswith(f"{line.auroc:.3f} [") and cells[3].startswith(f"{line.agreement:.3f} [")
        assert cells[2].startswith(f"{line.auroc_cost:+.3f}".replace("-", "−"))


def test_what_may_be_said_depends_on_the_interval(drawn: Layout) -> None:
    line = read_rows(drawn.sr_reading, SharpenedReading)[-1]
    assert effect(replace(line, auroc_cost_low=0.01, auroc_cost_high=0.2)) == "costs the reader AUROC"
    assert effect(replace(line, auroc_cost_low=-0.2, auroc_cost_high=-0.01)) == "helps the reader"
    assert "no difference" in effect(replace(line, auroc_cost_low=-0.1, auroc_cost_high=0.1))


def test_a_missing_picture_or_reader_is_named(drawn: Layout, tmp_path: Path) -> None:
    copy = copied(drawn, tmp_path)
    (copy.reader_pictures / "1-heat.png").unlink()
    with pytest.raises(StepError, match=r"1-heat\.png: expected a picture"):
        gathered(copy)
    write_readers(copy)
    write_rows(copy.sr_reading, SharpenedReading, read_rows(copy.sr_reading, SharpenedReading)[:-1])
    with pytest.raises(StepError, match=r"sr_reading\.csv: expected esrgan"):
        gathered(copy)
    write_rows(copy.readers, ReaderSummary, [])
    with pytest.raises(StepError, match=r"readers\.csv: expected classifier"):
        gathered(copy)


def test_curves_stand_on_their_axes(drawn: Layout) -> None:
    curves = gathered(drawn)["curves"]
    assert [curve["title"] for curve in curves] == ["ROC", "Precision and recall", "Reliability"]
    roc = [tuple(map(float, pair.split(","))) for pair in curves[0]["lines"]["classifier"].split()]
    assert roc[0] == (0, 100) and roc[-1] == (100, 0)
