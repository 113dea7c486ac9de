import tempfile
from pathlib import Path

import pandas as pd
import pytest

from components.adapters.expectations import Expectation, Suite, validate_tables
from components.handover import StepError

AGE = Expectation(
    "age", "Ages are possible.", "critical", "ExpectColumnValuesToBeBetween", {"column": "age", "max_value": 120}
)
NAME = Expectation("name", "No names.", "critical", "ExpectColumnValuesToMatchRegex", {"column": "name", "regex": "^P"})


def test_rows_that_do_not_fit_are_named_by_their_label(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": [30, 400, 50]}, index=["first", "second", "third"])
    outcome = validate_tables({"people": Suite(table, [AGE], "Ask again.")}, tmp_path / "pages")[0]
    assert not outcome.success and outcome.unexpected == ("second: 400",) and outcome.remedy == "Ask again."
    assert (tmp_path / "pages" / "index.html").is_file()


def test_rows_are_told_apart_even_where_labels_are_the_same(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": [30, 400, 300]}, index=["one", "two", "two"])
    outcome = validate_tables({"people": Suite(table, [AGE], "")}, tmp_path / "pages")[0]
    assert outcome.unexpected == ("two: 400", "two: 300")


def test_private_values_are_repeated_nowhere(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["P01", "Featherstone"]}, index=["first", "second"])
    outcome = validate_tables({"people": Suite(table, [NAME], "", private=True)}, tmp_path / "pages")[0]
    assert not outcome.success and outcome.unexpected == ("second",)
    pages = list((tmp_path / "pages").rglob("*.html"))
    assert pages and not any("Featherstone" in page.read_text() for page in pages)


def test_the_pages_hold_no_path_of_the_machine(tmp_path: Path) -> None:
    validate_tables({"people": Suite(pd.DataFrame({"age": [30]}), [AGE], "")}, tmp_path / "pages")
    pages = "".join(page.read_text() for page in (tmp_path / "pages").rglob("*.html"))
    assert tempfile.gettempdir() + "/" not in pages and str(tmp_path) not in pages


def test_an_expectation_that_cannot_be_computed_is_an_error_not_a_pass(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="age: expected a verdict; cannot be computed"):
        validate_tables({"people": Suite(pd.DataFrame({"height": [1.7]}), [AGE], "")}, tmp_path / "pages")
