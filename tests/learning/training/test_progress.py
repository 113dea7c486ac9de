import csv
from pathlib import Path

import pytest

from components.learning.training.progress import ConsoleReporter, write_history


def test_a_log_shows_the_end_of_a_training_and_its_scores(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = ConsoleReporter("rrdb")
    reporter.losses(1, 10, {"pixel_loss": 0.5})
    reporter.losses(10, 10, {"pixel_loss": 0.25})
    reporter.scores(10, {"validation_psnr_db": 31.25})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "10/10" in lines[0] and "pixel_loss 0.25" in lines[0]
    assert "validation_psnr_db 31.2500" in lines[1]


def test_a_history_has_a_column_for_every_measure(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [{"step": 1, "loss": 0.5}, {"step": 1, "score": 30.0}])
    with (tmp_path / "history.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert rows == [{"step": "1", "loss": "0.5", "score": ""}, {"step": "1", "loss": "", "score": "30.0"}]
