"""Splits patients into train, validation and test: `data/raw/index.csv` to `data/splits.csv`.

The order in which patients are dealt out is a hash of the seed and of their smallest image id, which is a hash of
pixels. Pseudonyms, salted anew in every clone, and the order of the table decide nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.handover import SPLITS, IndexRow, Layout, SplitRow, StepError, read_rows, write_rows
from components.params import Params
from components.params.run_step import run_step

TEST_IMAGES, TEST_PATIENTS, TEST_MODALITIES = 6, 5, 4  # wanted for super-resolution, where the data allow
VALIDATION_PATIENTS = 2
HELD_OUT = "its patient is held out, and the source is in ingest.train_only"
TRAIN_LEAST = 1 / 3  # of the patients stay in training, whatever is wanted above

Sides = dict[str, str]  # patient to split


@dataclass(frozen=True)
class Patient:
    """One patient of one task, with the groups over which the split is balanced."""

    patient_id: str
    groups: frozenset[str]  # modalities, or the labels joined to one
    images: int


def run(layout: Layout, settings: Params) -> list[SplitRow]:
    """A row for every image of the index, written to `data/splits.csv`: its side, or why it is on none.

    A patient of both tasks is on one side. Patients of `ingest.train_only` sources are trained on, or left out where
    another source holds them out. Raises `StepError` where the data are too few to split.
    """
    index = read_rows(layout.index, IndexRow)
    _check(index, str(layout.index))
    reasons = {id(row): _left_out(row, settings) for row in index}
    usable = [row for row in index if not reasons[id(row)]]
    extra = [row for row in usable if _only_to_train(row, settings)]
    dealt = [row for row in usable if not _only_to_train(row, settings)]
    sides = _super_resolution(_patients(dealt, "super_resolution", settings.seed), settings)
    sides = dict.fromkeys((row.patient_id for row in extra), "train") | sides
    reasons |= {id(row): HELD_OUT for row in extra if sides[row.patient_id] != "train"}
    labelled = _patients(usable, "classification", settings.seed)
    sides |= _classification(labelled, sides, settings)
    rows = [_split_row(row, sides, reasons[id(row)]) for row in index]
    rows.sort(key=lambda row: (row.task, row.image_id, not row.split, row.reason, row.patient_id))
    write_rows(layout.splits, SplitRow, rows)
    return rows


def hold_all_out(layout: Layout, settings: Params) -> list[SplitRow]:
    """The table for scoring only, in the index's order: each image is held out, or has a reason why not."""
    index = read_rows(layout.index, IndexRow)
    _check(index, str(layout.index))
    rows = [_split_row(row, {row.patient_id: "test"}, _left_out(row, settings)) for row in index]
    write_rows(layout.splits, SplitRow, rows)
    return rows


def _check(index: Iterable[IndexRow], name: str) -> None:
    kept = [row for row in index if not row.quarantined]
    counts = Counter((row.task, row.image_id) for row in kept)
    problems = [f"image {row.image_id} ({row.file_name}) has no patient" for row in kept if not row.patient_id]
    problems += [f"image {image} stands {n} times in {task}" for (task, image), n in sorted(counts.items()) if n > 1]
    if problems:
        raise StepError(f"{name}: cannot be split. Ingest again.\n  " + "\n  ".join(problems))


def _only_to_train(row: IndexRow, settings: Params) -> bool:
    return row.task == "super_resolution" and row.source in settings.ingest.train_only


def _left_out(row: IndexRow, settings: Params) -> str:
    """Why an image is left out of the split; empty if it is not."""
    if row.quarantined:
        return f"quarantined: {row.reason}"
    if row.minimum is not None and row.minimum == row.maximum:
        return "one value everywhere"  # as the outermost slices of a series are
    if row.task == "classification":
        return "" if row.label else "has no label"
    if row.task != "super_resolution":
        return f"task {row.task!r} is unknown"
    extra = _only_to_train(row, settings)
    if row.simulated and not extra:
        return "simulated: a sharpener is trained and scored on real images"
    if row.modality not in settings.split.modalities and not extra:
        return f"modality {row.modality or 'unknown'} is not in split.modalities"
    if min(row.rows or 0, row.columns or 0) < settings.split.min_side:
        return f"{row.rows} x {row.columns} pixels, a side is below split.min_side ({settings.split.min_side})"
    return ""


def _patients(rows: Iterable[IndexRow], task: str, seed: int) -> list[Patient]:
    """The patients of a task in the order in which they are dealt out."""
    rows_of: dict[str, list[IndexRow]] = {}
    for row in rows:
        if row.task == task:
            rows_of.setdefault(row.patient_id, []).append(row)

    def deal_order(patient_id: str) -> str:
        return hashlib.sha256(f"{seed} {min(row.image_id for row in rows_of[patient_id])}".encode()).hexdigest()

    return [Patient(name, _groups(rows_of[name], task), len(rows_of[name])) for name in sorted(rows_of, key=deal_order)]


def _groups(rows: Iterable[IndexRow], task: str) -> frozenset[str]:
    if task == "super_resolution":
        return frozenset(row.modality for row in rows)
    return frozenset([" and ".join(sorted({row.label for row in rows}))])


class Deal:
    """Patients being dealt out: everybody starts in training, and a group never loses its last patient there."""

    def __init__(self, patients: list[Patient]) -> None:
        self.all = patients
        self.on: dict[str, list[Patient]] = {side: [] for side in SPLITS} | {"train": list(patients)}
        self.groups = Counter(group for patient in patients for group in patient.groups)
        self.held = {side: Counter[str]() for side in SPLITS} | {"train": self.groups.copy()}

    @property
    def sides(self) -> Sides:
        return {patient.patient_id: side for side, patients in self.on.items() for patient in patients}

    def training_can_give(self) -> bool:
        return len(self.on["train"]) - 1 >= TRAIN_LEAST * len(self.all)

    def move(self, side: str, group: str | None = None) -> bool:
        """Moves the best patient (of `group`) that training can spare to `side`; false where it can spare none.

        The best one has the group with the smallest share on `side`, then the largest group, then comes first.
        """
        left, held = self.held["train"], self.held[side]
        spare = [p for p in self.on["train"] if all(left[g] > 1 for g in p.groups) and (not group or group in p.groups)]
        if spare:
            self._give(
                side, min(spare, key=lambda p: min((held[g] / self.groups[g], -self.groups[g]) for g in p.groups))
            )
        return bool(spare)

    def move_only(self, side: str) -> bool:
        """Moves a patient whose groups nobody else has to `side`; false where training has none."""
        only = [p for p in self.on["train"] if all(self.groups[g] == 1 for g in p.groups)]
        if only:
            self._give(side, only[0])
        return bool(only)

    def _give(self, side: str, patient: Patient) -> None:
        self.on["train"].remove(patient)
        self.on[side].append(patient)
        self.held["train"].subtract(patient.groups)
        self.held[side].update(patient.groups)


def _super_resolution(patients: list[Patient], settings: Params) -> Sides:
    """Sides for the sharpeners: every modality of two patients or more is trained on and tested."""
    deal = Deal(patients)
    for modality, count in sorted(deal.groups.items()):
        if count > 1 and not deal.held["test"][modality]:
            deal.move("test", modality)
    if not deal.on["test"] or not deal.move("validation"):
        raise StepError(_too_few("super-resolution", "modality", deal.groups))
    while len(deal.on["validation"]) < VALIDATION_PATIENTS and deal.training_can_give() and deal.move("validation"):
        pass
    while len(+deal.held["test"]) < TEST_MODALITIES and deal.training_can_give() and deal.move_only("test"):
        pass
    while _few(deal.on["test"]) and deal.training_can_give() and deal.move("test"):
        pass
    _fill(deal, "test", round(settings.split.test_share * len(patients)))
    _fill(deal, "validation", round(settings.split.validation_share * len(patients)))
    return deal.sides


def _fill(deal: Deal, side: str, patients: int) -> None:
    while len(deal.on[side]) < patients and deal.move(side):
        pass


def _few(test: list[Patient]) -> bool:
    return len(test) < TEST_PATIENTS or sum(patient.images for patient in test) < TEST_IMAGES


def _classification(patients: list[Patient], decided: Mapping[str, str], settings: Params) -> Sides:
    """Sides for the classifier, with the shares kept in every label; `decided` holds the sides already given."""
    labels = Counter(group for patient in patients for group in patient.groups)
    if len(labels) < 2 or min(labels.values()) < 3:
        raise StepError(_too_few("classification", "label", labels))
    sides: Sides = {}
    for label in sorted(labels):
        sides |= _stratum([p.patient_id for p in patients if label in p.groups], decided, settings)
    return sides


def _stratum(patients: list[str], decided: Mapping[str, str], settings: Params) -> Sides:
    sides = {patient: decided[patient] for patient in patients if patient in decided}
    unassigned = [patient for patient in patients if patient not in decided]
    for side, share in (("test", settings.split.test_share), ("validation", settings.split.validation_share)):
        missing = max(1, round(share * len(patients))) - list(sides.values()).count(side)
        count = max(0, min(missing, len(unassigned) - (side == "test") - ("train" not in sides.values())))
        sides |= dict.fromkeys(unassigned[:count], side)
        unassigned = unassigned[count:]
    sides |= dict.fromkeys(unassigned, "train")
    if set(sides.values()) != set(SPLITS):
        raise StepError(
            f"classification: expected patients of every label in {', '.join(SPLITS)}, found only "
            f"{', '.join(sorted(set(sides.values())))}, because super-resolution decided for some. Add patients."
        )
    return sides


def _too_few(task: str, group: str, patients: Mapping[str, int]) -> str:
    expected = {
        "modality": "at least one modality with three patients, one each for train, validation and test",
        "label": "at least two labels with three patients each, one each for train, validation and test",
    }[group]
    counts = ", ".join(f"{name} {count}" for name, count in sorted(patients.items())) or "no usable image"
    return f"{task}: expected {expected}; found patients: {counts}. Add sources to `ingest` in params.yaml."


def _split_row(row: IndexRow, sides: Mapping[str, str], reason: str) -> SplitRow:
    side = "" if reason else sides[row.patient_id]
    return SplitRow(
        image_id=row.image_id,
        patient_id=row.patient_id,
        task=row.task,
        modality=row.modality,
        label=row.label,
        split=side,
        reason=reason,
    )


def summary(rows: list[SplitRow]) -> Iterable[str]:
    """Lines for the terminal: what is on each side of each task, and what was left out."""
    for task in sorted({row.task for row in rows if row.split}):
        for side in SPLITS:
            side_rows = [row for row in rows if row.task == task and row.split == side]
            kinds = Counter(row.label or row.modality for row in side_rows)
            patients = len({row.patient_id for row in side_rows})
            breakdown = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
            yield f"{task} {side}: {len(side_rows)} images of {patients} patients ({breakdown})"
    reasons = Counter(row.reason.split(":")[0] for row in rows if row.reason)
    yield from (f"left out: {count} × {reason}" for reason, count in sorted(reasons.items()))


def main() -> int:
    return run_step(lambda layout, settings: summary(run(layout, settings)))


if __name__ == "__main__":
    raise SystemExit(main())
