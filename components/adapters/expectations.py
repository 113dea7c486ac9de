"""Great Expectations: suites over tables, verdicts, and their pages. It takes seconds to import, so only when used."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # unexpected values that a verdict names


@dataclass(frozen=True)
class Expectation:
    """One expectation of a table: Great Expectations' type and arguments, its severity, and what it means."""

    name: str
    meaning: str
    severity: str  # critical | warning
    type: str  # a class of great_expectations.expectations
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How an expectation ended."""

    expectation: Expectation
    success: bool
    observed: str
    unexpected: tuple[str, ...]  # the first few rows that do not fit, by the table's index


def validate_tables(
    tables: Mapping[str, tuple[pd.DataFrame, Sequence[Expectation]]], pages: Path
) -> dict[str, list[Outcome]]:
    """Holds each table against its expectations and leaves the HTML data docs in `pages`.

    The tables' row labels name what does not fit. Raises `RuntimeError` where an expectation cannot be computed.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    with tempfile.TemporaryDirectory() as folder:
        context = gx.get_context(mode="file", project_root_dir=folder)
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_pandas("tables")
        outcomes = {
            name: _validate(gx, context, source, name, table, expectations)
            for name, (table, expectations) in tables.items()
        }
        context.build_data_docs()
        site = next(Path(folder).rglob("local_site"))
        shutil.rmtree(pages, ignore_errors=True)
        shutil.copytree(site, pages)
    return outcomes


def _validate(
    gx: Any, context: Any, source: Any, name: str, table: pd.DataFrame, expectations: Sequence[Expectation]
) -> list[Outcome]:
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
    made = [_made(gx, expectation) for expectation in expectations]
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=made))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    result = definition.run(
        batch_parameters={"dataframe": table.reset_index(drop=True)}, result_format={"result_format": "COMPLETE"}
    )
    by_name = {one.expectation_config.meta["name"]: one for one in result.results}
    return [_outcome(expectation, by_name[expectation.name], table) for expectation in expectations]


def _made(gx: Any, expectation: Expectation) -> Any:
    kind = getattr(gx.expectations, expectation.type)
    return kind(
        **expectation.arguments,
        severity=expectation.severity,
        notes=expectation.meaning,
        meta={"name": expectation.name},
    )


def _outcome(expectation: Expectation, found: Any, table: pd.DataFrame) -> Outcome:
    if raised := _raised(found.exception_info):
        raise RuntimeError(f"{expectation.name}: cannot be computed: {raised[0]}")
    result = found.result
    rows = [str(table.index[number]) for number in (result.get("unexpected_index_list") or [])[:SHOWN]]
    values = [str(value) for value in result.get("partial_unexpected_list", [])[:SHOWN]]
    named = [f"{row}: {value}" for row, value in zip(rows, values, strict=False)] or rows
    observed = result.get("observed_value", f"{result.get('unexpected_count', 0)} do not fit")
    return Outcome(expectation, bool(found.success), str(observed), tuple(named))


def _raised(information: Mapping[str, Any]) -> list[str]:
    """Messages of what went wrong: one entry, or one a metric."""
    entries = [information] if "raised_exception" in information else list(information.values())
    return [str(entry["exception_message"]) for entry in entries if entry["raised_exception"]]
