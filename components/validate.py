"""Checks the index and the split before training: `python -m components.validate` writes the verdict.

A critical failure stops the pipeline before anything is trained; a warning is only reported.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from components.adapters.expectations import Expectation, Outcome, Suite, validate_tables
from components.handover import SPLITS, IndexRow, Layout, SplitRow, StepError, read_rows, write_json
from components.params import Params, Validate
from components.params.run_step import run_step

PHOTOMETRICS = ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"]
TASKS = ("super_resolution", "classification")
PSEUDONYM = r"^(?:P[0-9a-f]{12})?$"
PSEUDONYMOUS_UID = r"^(?:2\.25\.[0-9]+)?$"
PERSON_NAME = r"\w\^|\^\w"  # DICOM separates the parts of a name by carets
DAMAGE = ("duplicate",)  # reasons that are no sign of damage


def run(layout: Layout, settings: Params) -> dict[str, Any]:
    """Writes `validation.json` and the data docs; gives the verdict."""
    tables = {"index": (layout.index, IndexRow), "splits": (layout.splits, SplitRow)}
    suites = {name: schema_suite(path, row) for name, (path, row) in tables.items()}
    index: list[IndexRow] = []
    if all(set(suite.expectations[0].arguments["column_set"]) <= set(suite.table) for suite in suites.values()):
        index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
        if not any(not row.quarantined for row in index):
            raise StepError(f"{layout.index}: expected images, every one is quarantined. See its column reason.")
        suites |= content_suites(index, splits, settings.validate)
    verdict = summarise(validate_tables(suites, layout.reports / "expectations"), index)
    write_json(layout.validation, verdict)
    return verdict


def schema_suite(path: Path, row_type: type) -> Suite:
    """Expects every column of `row_type`; no other check is possible without them."""
    if not path.is_file():
        raise StepError(f"{path}: expected a table of {row_type.__name__}, found no file. Run the step that writes it.")
    with path.open(newline="", encoding="utf-8") as handle:
        header = next(csv.reader(handle), [])
    columns = [field.name for field in fields(row_type)]
    expectation = _critical(f"{path.stem}_has_its_columns", f"{path.name} has every column that later steps read.",
                            "ExpectTableColumnsToMatchSet", column_set=columns, exact_match=False)  # fmt: skip
    return Suite(pd.DataFrame(columns=header), [expectation], f"Run the step that writes {path.name} again.")


def content_suites(index: Sequence[IndexRow], splits: Sequence[SplitRow], limits: Validate) -> dict[str, Suite]:
    """The expectations on each file, each image, each patient, and the run as a whole."""
    return {
        "identity": Suite(
            files_table(index),
            identity_expectations(),
            "Pass data/raw on to nobody. Correct components/dicom/deidentify.py, then run ingest again.",
            private=True,
        ),
        "images": Suite(
            images_table(index, splits),
            image_expectations(limits),
            "Look at the images named; take them out of the source, or change the limits under validate.",
        ),
        "patients": Suite(
            patients_table(splits),
            patient_expectations(),
            "Run split again: it keeps every patient on one side, which a table edited by hand may not.",
        ),
        "run": Suite(
            run_table(index, splits),
            run_expectations(limits),
            "Add images or sources under ingest, or change the shares under split and validate.",
        ),
    }


def files_table(index: Sequence[IndexRow]) -> pd.DataFrame:
    """One row a file that ingest met, quarantined ones too, labelled by its id alone."""
    table = pd.DataFrame([asdict(row) for row in index], columns=[field.name for field in fields(IndexRow)])
    table.index = pd.Index([row.image_id for row in index], name="image")
    return table


def images_table(index: Sequence[IndexRow], splits: Sequence[SplitRow]) -> pd.DataFrame:
    """One row a kept image, labelled by its id and file name, with its side of the split and its spacing in mm."""
    side = {(row.task, row.image_id): row.split for row in splits if row.split}
    kept = [row for row in index if not row.quarantined]
    table = pd.DataFrame([asdict(row) for row in kept], columns=[field.name for field in fields(IndexRow)])
    table["split"] = [side.get((row.task, row.image_id), "") for row in kept]
    table["spacing_min_mm"], table["spacing_max_mm"] = zip(*(_spacing(row) for row in kept), strict=True)
    table["content"] = [f"{row.task} {row.sha256}" for row in kept]  # one image may serve both tasks
    table["value_range"] = [_range(row) for row in kept]
    table.index = pd.Index([f"{row.image_id} ({row.file_name})" for row in kept], name="image")
    return table


def patients_table(splits: Sequence[SplitRow]) -> pd.DataFrame:
    """One row a patient, with how many sides of the split have an image of theirs."""
    rows = pd.DataFrame([asdict(row) for row in splits if row.split], columns=[f.name for f in fields(SplitRow)])
    return rows.groupby("patient_id").agg(sides=("split", "nunique"), images=("image_id", "size"))


def run_table(index: Sequence[IndexRow], splits: Sequence[SplitRow]) -> pd.DataFrame:
    """One row of shares: quarantined, and by task the images of each side and the rarest label."""
    damaged = [row for row in index if row.quarantined and not row.reason.startswith(DAMAGE)]
    shares: dict[str, float] = {"quarantined": len(damaged) / len(index)}
    for task in TASKS:
        rows = [row for row in splits if row.task == task and row.split]
        shares |= {f"{task}_{side}": float(sum(row.split == side for row in rows)) for side in SPLITS}
    labelled = [row for row in splits if row.split and row.task == "classification"]
    labels = Counter(row.label for row in labelled)
    shares["labels"] = float(len(labels))
    shares["rarest_label"] = min(labels.values()) / len(labelled) if labelled else 0.0
    for side in SPLITS:
        shares[f"labels_missing_{side}"] = float(len(labels) - len({r.label for r in labelled if r.split == side}))
    return pd.DataFrame([shares], index=pd.Index(["this run"]))


def identity_expectations() -> list[Expectation]:
    """No identity is left: names, numbers and UIDs are pseudonyms. The report does not repeat a value that is not."""
    return [
        _critical("patient_is_pseudonym", "Patients are named by pseudonym: no identity is left.",
                  "ExpectColumnValuesToMatchRegex", column="patient_id", regex=PSEUDONYM),
        *(_critical(f"{name}_is_pseudonymous", f"The {name} UID is one of ours: no identity is left.",
                    "ExpectColumnValuesToMatchRegex", column=name, regex=PSEUDONYMOUS_UID)
          for name in ("study", "series")),
        *(_critical(f"{name}_names_nobody", f"No {name.replace('_', ' ')} holds a person's name as DICOM writes it.",
                    "ExpectColumnValuesToNotMatchRegex", column=name, regex=PERSON_NAME)
          for name in ("file_name", "path", "reason", "body_part")),
    ]  # fmt: skip


def image_expectations(limits: Validate) -> list[Expectation]:
    """The expectations on each kept image.

    An unknown modality is only a warning, because split leaves it out of super-resolution by name.
    """
    sides = {"min_value": limits.min_side, "max_value": limits.max_side}
    spacing = {"min_value": limits.min_spacing_mm, "max_value": limits.max_spacing_mm}
    return [
        _critical("has_identifier", "Every image has an id.",
                  "ExpectColumnValuesToMatchRegex", column="image_id", regex="^[0-9a-f]{16}$"),
        _critical("has_patient", "Every image belongs to a patient, so that the split can keep patients together.",
                  "ExpectColumnValuesToMatchRegex", column="patient_id", regex="."),
        _critical("content_is_unique", "No image is there twice, under whatever encoding.",
                  "ExpectColumnValuesToBeUnique", column="content"),
        _critical("value_range_is_known", "The range of every image's values is known.",
                  "ExpectColumnValuesToNotBeNull", column="value_range"),
        _warning("image_shows_something", "No image is one value all over; those that are, are left out.",
                 "ExpectColumnValuesToBeBetween", column="value_range", min_value=0, strict_min=True),
        _warning("modality_is_known", "The modality is one of those allowed.",
                 "ExpectColumnValuesToBeInSet", column="modality", value_set=list(limits.modalities)),
        _warning("photometric_is_known", "The photometric interpretation is one that is read.",
                 "ExpectColumnValuesToBeInSet", column="photometric", value_set=PHOTOMETRICS),
        *(_warning(f"{name}_in_range", f"The number of {name} is plausible.",
                   "ExpectColumnValuesToBeBetween", column=name, **sides)
          for name in ("rows", "columns")),
        *(_warning(f"{name}_in_range", "Where pixel spacing is known, it is plausible.",
                   "ExpectColumnValuesToBeBetween", column=name, **spacing)
          for name in ("spacing_min_mm", "spacing_max_mm")),
    ]  # fmt: skip


def patient_expectations() -> list[Expectation]:
    """The expectations on each patient's images together."""
    return [
        _critical("patient_in_one_split", "No patient is on two sides of the split.",
                  "ExpectColumnValuesToBeBetween", column="sides", min_value=1, max_value=1),
    ]  # fmt: skip


def run_expectations(limits: Validate) -> list[Expectation]:
    """The expectations on the run as a whole."""
    present = [
        _critical(f"{task}_{side}_has_images", f"There are images for {task.replace('_', '-')} to {side}.",
                  "ExpectColumnValuesToBeBetween", column=f"{task}_{side}", min_value=1)
        for task in TASKS for side in SPLITS
    ]  # fmt: skip
    return [
        *present,
        _critical("two_labels", "There are at least two labels to tell apart.",
                  "ExpectColumnValuesToBeBetween", column="labels", min_value=2),
        *(_critical(f"every_label_in_{side}", f"No label is absent from {side}.",
                    "ExpectColumnValuesToBeBetween", column=f"labels_missing_{side}", max_value=0)
          for side in SPLITS),
        _warning("labels_are_balanced", "The rarest label is not too rare.",
                 "ExpectColumnValuesToBeBetween", column="rarest_label", min_value=limits.min_label_share),
        _warning("few_quarantined", "Few files are damaged or unusable; duplicates are neither.",
                 "ExpectColumnValuesToBeBetween", column="quarantined", max_value=limits.max_quarantined_share),
    ]  # fmt: skip


def summarise(outcomes: Sequence[Outcome], index: Sequence[IndexRow]) -> dict[str, Any]:
    """The verdict as `validation.json` holds it."""
    failed = [outcome for outcome in outcomes if not outcome.success]
    critical = [o.expectation.name for o in failed if o.expectation.severity == "critical"]
    return {
        "passed": not critical,
        "critical_failures": critical,
        "warnings": [o.expectation.name for o in failed if o.expectation.severity == "warning"],
        "images": sum(not row.quarantined for row in index),
        "quarantined": sum(row.quarantined for row in index),
        "expectations": [
            {
                "name": outcome.expectation.name,
                "column": outcome.expectation.arguments.get("column", ""),
                "severity": outcome.expectation.severity,
                "meaning": outcome.expectation.meaning,
                "success": outcome.success,
                "observed": outcome.observed,
                "unexpected": list(outcome.unexpected),
                "remedy": outcome.remedy,
            }
            for outcome in outcomes
        ],
    }


def lines(verdict: dict[str, Any]) -> list[str]:
    """The verdict for a person: what failed, on which images, what to do."""
    report, expectations = [], verdict["expectations"]
    failures = [expectation for expectation in expectations if not expectation["success"]]
    for failed in failures:
        report.append(
            f"{failed['severity']:<9} {failed['name']}: expected: {failed['meaning']} Found: {failed['observed']}"
        )
        report += [f"          {row}" for row in failed["unexpected"]]
        report.append(f"          What to do: {failed['remedy']}")
    end = "passed" if verdict["passed"] else "FAILED, nothing is trained on these data"
    counts = f"{verdict['images']} images kept, {verdict['quarantined']} quarantined"
    return [*report, f"{len(expectations) - len(failures)} of {len(expectations)} expectations hold; {counts}: {end}"]


def _critical(name: str, meaning: str, kind: str, **arguments: Any) -> Expectation:
    return Expectation(name, meaning, "critical", kind, arguments)


def _warning(name: str, meaning: str, kind: str, **arguments: Any) -> Expectation:
    return Expectation(name, meaning, "warning", kind, arguments)


def _spacing(row: IndexRow) -> tuple[float | None, float | None]:
    try:
        values = [float(value) for value in row.pixel_spacing_mm.split("\\") if value]
    except ValueError as error:
        raise StepError(
            f"{row.image_id} ({row.file_name}): pixel_spacing_mm: expected row\\column in mm, "
            f"found {row.pixel_spacing_mm!r}. Run ingest again."
        ) from error
    return (min(values), max(values)) if values else (None, None)


def _range(row: IndexRow) -> float | None:
    return None if row.minimum is None or row.maximum is None else row.maximum - row.minimum


def _accepted(verdict: dict[str, Any]) -> list[str]:
    if not verdict["passed"]:
        raise StepError("\n".join(lines(verdict)))
    return list(lines(verdict))


def main() -> int:
    return run_step(lambda layout, settings: _accepted(run(layout, settings)))


if __name__ == "__main__":
    raise SystemExit(main())
