from pathlib import Path

import pandas as pd
import pytest

from components.adapters.expectations import Expectation, validate_tables

AGE = Expectation(
    "age", "Ages are possible.", "critical", "ExpectColumnValuesToBeBetween", {"column": "age", "max_value": 120}
)


def test_rows_that_do_not_fit_are_named_by_their_label(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": [30, 400, 50]}, index=["first", "second", "third"])
    outcome = validate_tables({"people": (table, [AGE])}, tmp_path / "pages")["people"][0]
    assert not outcome.success and outcome.unexpected == ("second: 400",)
    assert (tmp_path / "pages" / "index.html").is_file()


def test_an_expectation_that_cannot_be_computed_is_an_error_not_a_pass(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="age: cannot be computed"):
        validate_tables({"people": (pd.DataFrame({"height": [1.7]}), [AGE])}, tmp_path / "pages")
