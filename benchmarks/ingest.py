"""The cost of an archive that grows: `python -m benchmarks.ingest`, by hand.

Draws an archive of small CT slices, ingests it, adds a few files and ingests it again, each time in a process of its
own; then the same with nothing new. The floors: a walk that asks for the size and time of every file, and reading the
bytes of all files once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from pydicom.uid import generate_uid

from benchmarks import machine
from components.handover.names import PARAMS
from tests.drawing import dicom, write_dicom
from tests.settings import content

SIDE = 64  # pixels: decoding costs little, so that what is measured is the work around it
SLICES = 50  # of a series; one patient each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--new", type=int, default=10)
    options = parser.parse_args()
    print(machine.described(torch.device("cpu")), machine.revision())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "data").mkdir()
        settings = content()
        settings["ingest"] |= {"super_resolution": ["dicom:archive"], "train_only": [], "classification": []}
        (root / PARAMS).write_text(yaml.safe_dump(settings), encoding="utf-8")
        draw(root / "archive", range(options.files))
        print("| what | seconds |\n|---|---|")
        report(f"floor: size and time of {options.files:,} files", lambda: walk(root / "archive", read=False))
        report("floor: their bytes read once", lambda: walk(root / "archive", read=True))
        report(f"first ingest of {options.files:,} files", lambda: ingest(root))
        draw(root / "archive", range(options.files, options.files + options.new))
        report(f"ingest after {options.new} new files", lambda: ingest(root))
        report("ingest after none", lambda: ingest(root))


def draw(folder: Path, numbers: range) -> None:
    """Noise, which no lossless encoding makes smaller, in series of `SLICES`."""
    series = {patient: generate_uid() for patient in {number // SLICES for number in numbers}}
    for number in numbers:
        patient = number // SLICES
        pixels = np.random.default_rng(number).integers(0, 4096, (SIDE, SIDE), np.uint16)
        image = dicom(pixels, "CT", PatientID=f"MRN-{patient:06}", SeriesInstanceUID=series[patient])
        image.InstanceNumber = number % SLICES + 1
        image.ImagePositionPatient = [0.0, 0.0, 5.0 * (number % SLICES)]
        write_dicom(folder / f"{patient:06}" / f"{number:07}.dcm", image)


def walk(folder: Path, read: bool) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            path.stat()
            if read:
                path.read_bytes()


def ingest(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "components.ingest"]
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)


def report(name: str, work: Callable[[], None]) -> None:
    begun = time.monotonic()
    work()
    print(f"| {name} | {time.monotonic() - begun:.1f} |", flush=True)


if __name__ == "__main__":
    main()
