"""Whether a broken file can end a run, or cost another file: `make fuzz`, by hand; a hundred of the same in the tests.

Mutated files (`benchmarks/mutations.py`) go through ingest and enhance, a hundred at a time between five good ones, in
a process of their own. Each has to end as a row, kept or quarantined with a reason; the good ones have to be kept.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks import machine
from benchmarks.mutations import mutated
from components.handover.names import PARAMS
from tests.drawing import dicom, shapes, write_dicom
from tests.settings import content

BATCH = 100
GOOD = 5
BATCH_S, FILE_S = 900, 120  # what a batch, and a file alone, may take
ADDRESSES = 16 * 2**30  # bytes of address space of the process; what it really takes is measured
COLUMNS = ("mutated", "kept", "duplicate", "quarantined", "crashed", "lost", "good ones lost", "enhanced", "refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20240)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="where files that crashed it are left")
    options = parser.parse_args()
    print(machine.described(torch.device("cpu")), machine.revision())
    begun, counts, peak = time.monotonic(), Counter[str](), 0
    for first in range(0, options.mutations, BATCH):
        numbers = range(first, min(first + BATCH, options.mutations))
        batch, batch_peak = fuzz(options.seed, numbers, options.keep)
        counts, peak = counts + batch, max(peak, batch_peak)
        print(f"{numbers.stop} of {options.mutations}: {dict(counts)}", flush=True)
    cells = [*(f"{counts[name]:,}" for name in COLUMNS), f"{peak / 2**20:,.0f}", f"{time.monotonic() - begun:,.0f}"]
    print("| " + " | ".join([*COLUMNS, "peak memory, MiB", "seconds"]) + " |")
    print("|" + "---|" * len(cells) + "\n| " + " | ".join(cells) + " |")


def fuzz(seed: int, numbers: range, keep: Path) -> tuple[Counter[str], int]:
    """What became of the mutated files of these numbers, and the most memory that a process took, in bytes.

    A batch that does not end well is run again file by file; those that crash it alone are copied to `keep`.
    """
    with tempfile.TemporaryDirectory() as name:
        root = _project(Path(name) / "batch")
        for file_name, mutation in mutated(seed, numbers):
            (root / "archive" / file_name).write_bytes(mutation)
        counts, peak = _run(root, BATCH_S)
        if counts is not None:
            return counts, peak
        total = Counter[str]()
        for file in sorted((root / "archive").glob("[0-9]*")):
            alone = _project(Path(name) / "alone")
            shutil.copy(file, alone / "archive")
            counts, file_peak = _run(alone, FILE_S)
            peak = max(peak, file_peak)
            if counts is None:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, keep)
                shutil.copy(alone / "said.txt", keep / f"{file.name}.txt")
                counts = Counter(mutated=1, crashed=1)
            total += counts
            shutil.rmtree(alone)
        return total, peak


def _project(root: Path) -> Path:
    """An archive of good images alone."""
    settings = content()
    settings["ingest"] |= {"super_resolution": ["dicom:archive"], "train_only": [], "classification": []}
    settings["ingest"]["max_bad_share"] = 1.0
    (root / "data").mkdir(parents=True)
    (root / PARAMS).write_text(yaml.safe_dump(settings), encoding="utf-8")
    for number in range(GOOD):
        stored = (shapes(50, 60, seed=1000 + number) * 4000).astype(np.uint16)
        write_dicom(root / "archive" / f"good_{number}.dcm", dicom(stored, "MR", PatientID=f"GOOD-{number}"))
    return root


def _run(root: Path, seconds: int) -> tuple[Counter[str] | None, int]:
    """Counts of a process over the project in `root`, nothing where it did not end well; and its peak in bytes."""
    command = [sys.executable, "-m", "benchmarks.fuzzing_process", str(root)]
    with (root / "said.txt").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, preexec_fn=_limit_addresses)
        try:
            answer, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            said.write(f"took more than {seconds} s")
            return None, 0
    if process.returncode:
        return None, 0
    told = json.loads(answer.splitlines()[-1])
    return Counter(told["counts"]), int(told["peak"])


def _limit_addresses() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))


if __name__ == "__main__":
    main()
