"""The files that steps hand over: their paths, rows and records. Standard library only.

Every step reads and writes through this package, so that a column or a path is defined once.
"""

from components.handover.digests import fingerprint, folder_digest, sha256_of
from components.handover.errors import StepError
from components.handover.files import (
    Replacing,
    check_patients,
    columns_of,
    read_json,
    read_record,
    read_rows,
    write_json,
    write_record,
    write_rows,
)
from components.handover.layout import Layout
from components.handover.methods import CLASSIFIER, GENERATORS, METHODS, SPLITS
from components.handover.rows import IndexRow, LabelledRow, LicenceRow, PreparedRow, RunRecord, SplitRow

__all__ = [
    "CLASSIFIER",
    "GENERATORS",
    "METHODS",
    "SPLITS",
    "IndexRow",
    "LabelledRow",
    "Layout",
    "LicenceRow",
    "PreparedRow",
    "Replacing",
    "RunRecord",
    "SplitRow",
    "StepError",
    "check_patients",
    "columns_of",
    "fingerprint",
    "folder_digest",
    "read_json",
    "read_record",
    "read_rows",
    "sha256_of",
    "write_json",
    "write_record",
    "write_rows",
]
