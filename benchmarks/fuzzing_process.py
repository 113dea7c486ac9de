"""One batch of `benchmarks.fuzzing`: ingests the project it is given, enhances its files, and prints the counts."""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from components import ingest
from components.handover import IndexRow, Layout, StepError
from components.imaging.decoding import UnreadableImage
from components.params import load_here
from components.sources.file_register import FileRegister

GOOD = "good_"


def main() -> None:
    os.chdir(sys.argv[1])
    warnings.simplefilter("ignore")
    layout = Layout()
    files = {path.name for path in Path("archive").iterdir()}
    rows = {_name(layout, row): row for row in ingest.run(layout, load_here())}
    counts = Counter(mutated=sum(not name.startswith(GOOD) for name in files), lost=len(files - rows.keys()))
    counts += Counter(_fate(row) for name, row in rows.items() if not name.startswith(GOOD))
    counts["good ones lost"] = sum(row.quarantined for name, row in rows.items() if name.startswith(GOOD))
    counts += enhance(sorted(Path("archive").glob("[0-9]*")))
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts KiB
    print(json.dumps({"counts": counts, "peak": peak}))


def enhance(files: Iterable[Path]) -> Counter[str]:
    """How many were enlarged and how many refused with a reason; whatever else is raised ends the process."""
    from components.enhance import enhance_file
    from tests.enlarging import BICUBIC

    counts = Counter[str]()
    for file in files:
        try:
            enhance_file(file, Path("out.dcm"), BICUBIC, overwrite=True)
            counts["enhanced"] += 1
        except (UnreadableImage, StepError):
            counts["refused"] += 1
        except Exception as error:
            error.add_note(f"while {file.name} was enhanced")
            raise
    return counts


def _name(layout: Layout, row: IndexRow) -> str:
    return FileRegister(layout.files).find(row.file_name)[0].name


def _fate(row: IndexRow) -> str:
    if not row.quarantined:
        return "kept"
    return "duplicate" if row.reason.startswith(ingest.DUPLICATE) else "quarantined"


if __name__ == "__main__":
    main()
