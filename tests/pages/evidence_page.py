"""A report of seven drawn samples, and the rows of its tables."""

from pathlib import Path

import pytest

from components import report, validate
from components.handover import Layout
from tests import tables
from tests.conftest import Once
from tests.settings import small
from tests.test_report import copied, table


@pytest.fixture(scope="module")
def drawn(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The report's project; each file of tests has a copy of its own, because some change what it was made from."""
    return copied(Layout(once("evidence_page", _draw)), tmp_path_factory.mktemp("evidence"))


def _draw(root: Path) -> None:
    root.mkdir()
    layout = Layout(root)
    tables.write_data(layout)
    tables.write_scores(layout)
    validate.run(layout, small())
    report.run(layout, small())


def body(page: str, caption: str) -> list[list[str]]:
    return [cells for cells in table(page, caption) if cells][1:]
