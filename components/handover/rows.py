"""The rows of the tables written before evaluation, and the record of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
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
    file_name: str  # in a public source; elsewhere its key, `F` and 12 hex digits: see `medsr where`
    path: str  # below data/raw; empty when quarantined


@dataclass(frozen=True, kw_only=True)
class SplitRow:
    """Which side of the split an image is on (`data/splits.csv`)."""

    image_id: str
    patient_id: str
    task: str
    modality: str
    label: str
    split: str  # train | validation | test, or empty: left out, for the reason beside it
    reason: str


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class LabelledRow:
    """One image ready for classification (`data/prepared/classification/index.csv`); row n is `images.npy[n]`."""

    image_id: str
    patient_id: str
    label: str
    split: str
    simulated: bool


@dataclass(frozen=True, kw_only=True)
class LicenceRow:
    """The licence of a source (`data/licences.csv`)."""

    source: str  # as in params.yaml, `kind:place`, or a kind for all its places
    licence: str
    terms: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Where MLflow keeps a training (`data/models/<name>/run.json`)."""

    name: str
    run_id: str  # empty where the training was not tracked
    model_id: str
    weights_sha256: str
    data_sha256: str
    git_revision: str
    seconds: float
