"""Great Expectations: suites over tables, verdicts, and their pages. It takes seconds to import, so only when used."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.handover import StepError

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
class Suite:
    """A table and what is expected of it; the table's row labels name what does not fit."""

    table: pd.DataFrame
    expectations: Sequence[Expectation]
    remedy: str  # what to do where one does not hold
    private: bool = False  # values that do not fit are not repeated, neither in the outcome nor on the pages


@dataclass(frozen=True)
class Outcome:
    """The verdict on one expectation."""

    expectation: Expectation
    success: bool
    observed: str
    unexpected: tuple[str, ...]  # the first few rows that do not fit, by the table's index
    remedy: str


def validate_tables(suites: Mapping[str, Suite], pages: Path) -> list[Outcome]:
    """Checks each table against its expectations and writes the HTML data docs into `pages`.

    Raises `StepError` naming the expectation that cannot be computed.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the library is imported; nothing is sent from here
    import great_expectations as gx

    with tempfile.TemporaryDirectory() as folder:
        context = gx.get_context(mode="file", project_root_dir=folder)
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_pandas("tables")
        outcomes = [o for name, suite in suites.items() for o in _validate(gx, context, source, name, suite)]
        context.build_data_docs()
        site = next(Path(folder).rglob("local_site"))
        shutil.rmtree(pages, ignore_errors=True)
        shutil.copytree(site, pages)
    return outcomes


def _validate(gx: Any, context: Any, source: Any, name: str, suite: Suite) -> list[Outcome]:
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
    gx_suite = gx.ExpectationSuite(name=name, expectations=[_gx_expectation(gx, e) for e in suite.expectations])
    gx_suite = context.suites.add(gx_suite)
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=gx_suite))
    result = definition.run(
        batch_parameters={"dataframe": suite.table.reset_index(drop=True)},
        result_format={"result_format": "COMPLETE", "partial_unexpected_count": 0 if suite.private else SHOWN},
    )
    verdicts = {verdict.expectation_config.meta["name"]: verdict for verdict in result.results}
    return [_outcome(expectation, verdicts[expectation.name], suite) for expectation in suite.expectations]


def _gx_expectation(gx: Any, expectation: Expectation) -> Any:
    kind = getattr(gx.expectations, expectation.type)
    return kind(
        **expectation.arguments,
        severity=expectation.severity,
        notes=expectation.meaning,
        meta={"name": expectation.name},
    )


def _outcome(expectation: Expectation, verdict: Any, suite: Suite) -> Outcome:
    if raised := _raised(verdict.exception_info):
        raise StepError(f"{expectation.name}: expected a verdict; cannot be computed: {raised[0]}")
    details = verdict.result
    rows = [str(suite.table.index[number]) for number in (details.get("unexpected_index_list") or [])[:SHOWN]]
    values = [str(value) for value in details.get("partial_unexpected_list", [])[:SHOWN]]
    named = [f"{row}: {value}" for row, value in zip(rows, values, strict=False)] or rows
    observed = details.get("observed_value", f"{details.get('unexpected_count', 0)} do not fit")
    return Outcome(expectation, bool(verdict.success), str(observed), tuple(named), suite.remedy)


def _raised(information: Mapping[str, Any]) -> list[str]:
    """The messages of exceptions. GX gives one record, or one for each metric."""
    records = [information] if "raised_exception" in information else list(information.values())
    return [str(record["exception_message"]) for record in records if record["raised_exception"]]
