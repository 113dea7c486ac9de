"""What one step leaves for the next: where it lies, its rows, its records. Standard library only.

Every step reads and writes through this module, so a column or a path has one home.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

METHODS = ("bicubic", "srcnn", "srresnet", "srgan", "rrdb", "esrgan")
GENERATORS = METHODS[1:]
CLASSIFIER = "classifier"
SPLITS = ("train", "validation", "test")


class StepError(Exception):
    """A step cannot go on; the message says what was expected, what came, and what to do about it."""


@dataclass(frozen=True)
class Layout:
    """Where everything lies, from the project's root."""

    root: Path = Path()

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def raw(self) -> Path:
        return self.data / "raw"

    @property
    def index(self) -> Path:
        return self.raw / "index.csv"

    @property
    def splits(self) -> Path:
        return self.data / "splits.csv"

    @property
    def prepared(self) -> Path:
        return self.data / "prepared"

    @property
    def super_resolution(self) -> Path:
        return self.prepared / "super_resolution"

    @property
    def classification(self) -> Path:
        return self.prepared / "classification"

    @property
    def held_out_readable(self) -> Path:
        """Held-out labelled images as large as they came, `<image_id>.npy` (rows, columns) float32 in [0, 1]."""
        return self.prepared / "held_out_readable"

    @property
    def reports(self) -> Path:
        return self.data / "reports"

    @property
    def validation(self) -> Path:
        return self.reports / "validation.json"

    @property
    def sr_samples(self) -> Path:
        return self.reports / "sr_samples.csv"

    @property
    def sr_summary(self) -> Path:
        return self.reports / "sr_summary.csv"

    @property
    def sr_metrics(self) -> Path:
        """What `dvc metrics` compares between revisions, by method; small, and committed with the code."""
        return self.reports / "sr_metrics.json"

    @property
    def sr_comparisons(self) -> Path:
        return self.reports / "sr_comparisons.csv"

    @property
    def sr_patients(self) -> Path:
        return self.reports / "sr_patients.csv"

    @property
    def sr_modalities(self) -> Path:
        return self.reports / "sr_modalities.csv"

    @property
    def sr_spectrum(self) -> Path:
        return self.reports / "sr_spectrum.csv"

    @property
    def sr_profiles(self) -> Path:
        return self.reports / "sr_profiles.csv"

    @property
    def sr_cost(self) -> Path:
        return self.reports / "sr_cost.csv"

    @property
    def champion_report(self) -> Path:
        """The champion that the methods were compared with, and why not where they were not; `{}` without one."""
        return self.reports / "champion.json"

    @property
    def licences(self) -> Path:
        """Under which terms each source of images came; written by people."""
        return self.data / "licences.csv"

    @property
    def sources(self) -> Path:
        """What the sources outside the project held when ingest last ran; stands for them in the graph."""
        return self.data / "sources.json"

    @property
    def champion(self) -> Path:
        """The weights in service when the run began, put there from the registry; only `.gitignore` without any."""
        return self.data / "champion"

    @property
    def outside(self) -> Path:
        """Folders of images that other programs made of the held-out inputs, one a method."""
        return self.data / "outside"

    @property
    def classifier_report(self) -> Path:
        return self.reports / "classifier.json"

    @property
    def readings(self) -> Path:
        return self.reports / "readings.csv"

    @property
    def readers(self) -> Path:
        return self.reports / "readers.csv"

    @property
    def reader_metrics(self) -> Path:
        """The same of the readers, and of what sharpening does to the first of them."""
        return self.reports / "reader_metrics.json"

    @property
    def reader_curves(self) -> Path:
        return self.reports / "reader_curves.csv"

    @property
    def reader_pictures(self) -> Path:
        return self.reports / "readers"

    @property
    def sr_reading(self) -> Path:
        return self.reports / "sr_reading.csv"

    @property
    def made_images(self) -> Path:
        return self.reader_pictures / "made.json"

    @property
    def denoising(self) -> Path:
        return self.reports / "denoising.csv"

    @property
    def pictures(self) -> Path:
        return self.reports / "pictures"

    @property
    def report(self) -> Path:
        return self.reports / "report.html"

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"

    def model(self, name: str) -> Path:
        return self.data / "models" / name

    def checkpoints(self, name: str) -> Path:
        """Outside every DVC output: DVC empties outputs before a stage starts, checkpoints must outlive that."""
        return self.data / "checkpoints" / name


@dataclass(frozen=True)
class IndexRow:
    """One image that ingest met, kept or quarantined (`data/raw/index.csv`)."""

    image_id: str  # 16 hex digits of the content hash; of the file's bytes where nothing could be decoded
    source: str
    patient_id: str  # pseudonym, `P` and 12 hex digits; empty when quarantined unread
    study: str  # pseudonymous UID
    series: str  # pseudonymous UID
    modality: str
    body_part: str
    rows: int | None
    columns: int | None
    frames: int | None
    bits_stored: int | None
    photometric: str
    pixel_spacing_mm: str  # "row\\column" as in DICOM, empty where unknown
    transfer_syntax: str
    sha256: str  # of the decoded pixel values: one image under several encodings has one
    label: str  # empty where the image has none
    quarantined: bool
    reason: str
    task: str  # super_resolution | classification
    simulated: bool
    minimum: float | None  # true range of the values, after rescale
    maximum: float | None
    file_name: str  # as it came, identity removed
    path: str  # below data/raw; empty when quarantined


@dataclass(frozen=True)
class SplitRow:
    """Which side of the split an image is on (`data/splits.csv`)."""

    image_id: str
    patient_id: str
    task: str
    modality: str
    label: str
    split: str  # train | validation | test, or empty: left out, for the reason beside it
    reason: str


@dataclass(frozen=True)
class PreparedRow:
    """One frame ready for super-resolution (`data/prepared/super_resolution/index.csv`).

    The file beside it holds `hr` (rows, columns) float32 in [0, 1], `mask` (rows, columns) bool, and one
    `lr_x<scale>` (rows / scale, columns / scale) float32 for each scale.
    """

    sample_id: str  # image_id-frame
    image_id: str
    frame: int
    patient_id: str
    modality: str
    split: str
    rows: int
    columns: int
    low: float  # the value that became 0
    high: float  # the value that became 1
    file: str  # below data/prepared/super_resolution


@dataclass(frozen=True)
class LabelledRow:
    """One image ready for classification (`data/prepared/classification/index.csv`); row n is `images.npy[n]`."""

    image_id: str
    patient_id: str
    label: str
    split: str
    simulated: bool


@dataclass(frozen=True)
class LicenceRow:
    """Under which terms a source came (`data/licences.csv`)."""

    source: str  # as in params.yaml, `kind:place`, or a kind for all its places
    licence: str
    terms: str


@dataclass(frozen=True)
class RunRecord:
    """Where MLflow keeps a training (`data/models/<name>/run.json`)."""

    name: str
    run_id: str  # empty where the training was not tracked
    model_id: str
    weights_sha256: str
    data_sha256: str
    git_revision: str
    seconds: float


Row = TypeVar("Row")


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> None:
    """Writes a CSV with one column a field of `row_type`; the file is whole or absent."""
    names = [f.name for f in fields(row_type)]  # type: ignore[arg-type]
    with Replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _to_text(getattr(row, name)) for name in names})


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """Rows of a CSV, typed. Raises `StepError` naming file, line and column where it is not one of ours."""
    hints = get_type_hints(row_type)
    if not path.is_file():
        raise StepError(f"{path}: expected a table of {row_type.__name__}, found no file. Run the step that writes it.")
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        missing = [name for name in hints if name not in (reader.fieldnames or ())]
        if missing:
            raise StepError(f"{path}: expected the columns of {row_type.__name__}; missing {', '.join(missing)}.")
        return [_row(path, number, raw, row_type, hints) for number, raw in enumerate(reader, start=2)]


def check_patients(path: Path, rows: Iterable[SplitRow | LabelledRow], remedy: str) -> None:
    """Raises `StepError` naming `path` and every patient whose images are on two sides of the split or more."""
    sides: dict[str, set[str]] = {}
    for row in rows:
        if row.split:
            sides.setdefault(row.patient_id, set()).add(row.split)
    astride = [f"{name}: {' and '.join(sorted(on))}" for name, on in sorted(sides.items()) if len(on) > 1]
    if astride:
        raise StepError(
            f"{path}: expected every patient on one side, found {len(astride)} on more. {remedy}\n  "
            + "\n  ".join(astride)
        )


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, sorted and indented, whole or not at all."""
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with Replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def picked(rows: Iterable[object], key: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The columns `names` of each row under its value of `key`: how DVC reads metrics, which it takes from JSON."""
    wanted = tuple(names)
    return {getattr(row, key): {name: getattr(row, name) for name in wanted} for row in rows}


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StepError(f"{path}: expected a JSON file, found none. Run the step that writes it.") from error
    except json.JSONDecodeError as error:
        raise StepError(f"{path}: expected JSON, {error}. Remove the file and run the step again.") from error


def write_record(path: Path, record: RunRecord) -> None:
    write_json(path, asdict(record))


def read_record(path: Path) -> RunRecord:
    content = read_json(path)
    try:
        return RunRecord(**content)
    except TypeError as error:
        raise StepError(f"{path}: expected a training's record; {error}. Train the model again.") from error


class Replacing:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        os.close(handle)
        self._temporary = Path(name)
        return self._temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._temporary.unlink(missing_ok=True)
            return
        self._temporary.chmod(0o644)
        with self._temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        self._temporary.replace(self._path)


def _to_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _row(path: Path, number: int, raw: dict[str, str], row_type: type[Row], hints: dict[str, Any]) -> Row:
    values = {}
    for name, hint in hints.items():
        try:
            values[name] = _from_text(raw[name], hint)
        except (TypeError, ValueError) as error:
            raise StepError(f"{path} line {number}, {name}: expected {hint}, found {raw[name]!r}.") from error
    return row_type(**values)


def _from_text(text: str, hint: Any) -> Any:
    if hint is str:
        return text
    if hint is bool:
        return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse(text)
    if hint in (int, float):
        return hint(text)
    if text == "":
        return None
    return int(text) if hint == (int | None) else float(text)


def _refuse(text: str) -> None:
    raise ValueError(text)
