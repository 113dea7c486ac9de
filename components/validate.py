"""Holds the index and the split against what training needs: `python -m components.validate` writes the verdict.

A critical failure stops the pipeline before anything is trained; a warning is reported and goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from components.adapters.expectations import Expectation, Outcome, validate_tables
from components.handover import SPLITS, IndexRow, Layout, SplitRow, StepError, read_rows, write_json
from components.params import Params, ParamsError, Validate, load

PHOTOMETRICS = ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"]
PSEUDONYM = r"^P[0-9a-f]{12}$"
PSEUDONYMOUS_UID = r"^(2\.25\.[0-9]+)?$"
DAMAGE = ("duplicate",)  # reasons that are no sign of damage


def run(layout: Layout, settings: Params) -> dict[str, Any]:
    """Writes `validation.json` and the data docs; gives what the former holds."""
    index, splits = read_rows(layout.index, IndexRow), read_rows(layout.splits, SplitRow)
    if not any(not row.quarantined for row in index):
        raise StepError(f"{layout.index}: expected images, every one is quarantined. See its column reason.")
    tables = {
        "images": (images_table(index, splits), image_expectations(settings.validate)),
        "patients": (patients_table(splits), patient_expectations()),
        "run": (run_table(index, splits), run_expectations(settings.validate)),
    }
    outcomes = [o for found in validate_tables(tables, layout.reports / "expectations").values() for o in found]
    verdict = summarise(outcomes, index)
    write_json(layout.validation, verdict)
    return verdict


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
    for task in sorted({row.task for row in splits if row.split}):
        rows = [row for row in splits if row.task == task and row.split]
        shares |= {f"{task}_{side}": float(sum(row.split == side for row in rows)) for side in SPLITS}
    labelled = pd.Series([row.label for row in splits if row.split and row.task == "classification"])
    shares["labels"] = float(labelled.nunique())
    shares["rarest_label"] = float(labelled.value_counts(normalize=True).min()) if len(labelled) else 0.0
    return pd.DataFrame([shares], index=pd.Index(["this run"]))


def image_expectations(limits: Validate) -> list[Expectation]:
    """What each kept image must be like."""
    sides = {"min_value": limits.min_side, "max_value": limits.max_side}
    spacing = {"min_value": limits.min_spacing_mm, "max_value": limits.max_spacing_mm}
    columns = [field.name for field in fields(IndexRow)]
    return [
        _critical("has_identifier", "Every image has an id.", "ExpectColumnValuesToNotBeNull", column="image_id"),
        *(_critical(f"has_column_{name}", f"The index has the column {name}.", "ExpectColumnToExist", column=name)
          for name in columns),
        _critical("content_is_unique", "No image is there twice, under whatever encoding.",
                  "ExpectColumnValuesToBeUnique", column="content"),
        _critical("image_shows_something", "No image is one value all over.",
                  "ExpectColumnValuesToBeBetween", column="value_range", min_value=0, strict_min=True),
        _critical("patient_is_pseudonym", "Patients are named by pseudonym: no identity is left.",
                  "ExpectColumnValuesToMatchRegex", column="patient_id", regex=PSEUDONYM),
        *(_critical(f"{name}_is_pseudonymous", f"The {name} UID is one of ours: no identity is left.",
                    "ExpectColumnValuesToMatchRegex", column=name, regex=PSEUDONYMOUS_UID)
          for name in ("study", "series")),
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
    """What each patient's images must be like together."""
    return [
        _critical("patient_in_one_split", "No patient is on two sides of the split.",
                  "ExpectColumnValuesToBeBetween", column="sides", min_value=1, max_value=1),
    ]  # fmt: skip


def run_expectations(limits: Validate) -> list[Expectation]:
    """What everything together must be like."""
    present = [
        _critical(f"{task}_{side}_has_images", f"There are images for {task.replace('_', '-')} to {side}.",
                  "ExpectColumnValuesToBeBetween", column=f"{task}_{side}", min_value=1)
        for task in ("super_resolution", "classification") for side in SPLITS
    ]  # fmt: skip
    return [
        *present,
        _critical("two_labels", "There are at least two labels to tell apart.",
                  "ExpectColumnValuesToBeBetween", column="labels", min_value=2),
        _warning("labels_are_balanced", "The rarest label is not too rare.",
                 "ExpectColumnValuesToBeBetween", column="rarest_label", min_value=limits.min_label_share),
        _warning("few_quarantined", "Few files are damaged or unusable.",
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
                "column": outcome.expectation.arguments["column"],
                "severity": outcome.expectation.severity,
                "meaning": outcome.expectation.meaning,
                "success": outcome.success,
                "observed": outcome.observed,
                "unexpected": list(outcome.unexpected),
            }
            for outcome in outcomes
        ],
    }


def lines(verdict: dict[str, Any]) -> list[str]:
    """The verdict for a person: what failed, on which images."""
    told = []
    for one in verdict["expectations"]:
        if not one["success"]:
            told.append(f"{one['severity']}: {one['name']}: {one['meaning']} Found: {one['observed']}")
            told += [f"    {row}" for row in one["unexpected"]]
    count = len(verdict["expectations"])
    end = "passed" if verdict["passed"] else "FAILED: correct the data or the limits in params.yaml, then run again"
    return [*told, f"{count} expectations of {verdict['images']} images: {end}"]


def _critical(name: str, meaning: str, kind: str, **arguments: Any) -> Expectation:
    return Expectation(name, meaning, "critical", kind, arguments)


def _warning(name: str, meaning: str, kind: str, **arguments: Any) -> Expectation:
    return Expectation(name, meaning, "warning", kind, arguments)


def _spacing(row: IndexRow) -> tuple[float | None, float | None]:
    values = [float(value) for value in row.pixel_spacing_mm.split("\\") if value]
    return (min(values), max(values)) if values else (None, None)


def _range(row: IndexRow) -> float | None:
    return None if row.minimum is None or row.maximum is None else row.maximum - row.minimum


def main() -> int:
    try:
        verdict = run(Layout(), load(Path("params.yaml")))
    except (StepError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines(verdict)), file=sys.stdout if verdict["passed"] else sys.stderr)
    return 0 if verdict["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
