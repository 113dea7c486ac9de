"""How much memory `enhance` takes: each image in a process of its own, which `python -m benchmarks.memory` is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import contestants, drawn
from benchmarks.results import Section
from benchmarks.sizes import label, recipe
from benchmarks.timing import digits
from components.enhance import enhance_file
from components.handover import StepError
from components.learning.inference.generator import Generator
from components.params.trainings import PixelTraining
from tests.drawing import dicom, write_dicom

STATUS = Path("/proc/self/status")  # Linux; its high-water mark is this process's own, which getrusage's is not
STORED_BYTES = 2  # a pixel, in the file that comes in and in the one that goes out
MIB = 2**20


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of one process, before the image and at the peak, and the seconds for the image."""

    before: int
    peak: int
    seconds: float


def section(sizes: Sequence[tuple[int, int]]) -> Section:
    """The table of images, from small to large. Raises `StepError` where a process fails."""
    settings = recipe("quick")
    measured = [(rows, columns, _measure(rows, columns)) for rows, columns in sizes]
    method = f"""`components.enhance.enhance_file` on drawn 16-bit DICOM images, ×{settings.scale}, the quick profile's
RRDB ({label(settings)}) with fresh weights, a process each. Stored: the pixels of the file that comes in; of the one
that goes out. Working memory: the peak, less the process before the image came. What goes out is never in it as a
whole; what comes in is, twice, with a row of tiles as wide as the image."""
    columns = (
        "image",
        "megapixels in",
        "seconds",
        "in, MiB",
        "out, MiB",
        "before, MiB",
        "peak, MiB",
        "working memory, MiB",
    )
    rows = [_row(rows, columns_, used, settings.scale) for rows, columns_, used in measured]
    finding = f"memory of enhance: {rows[-1][-2]} MiB at the peak for {rows[-1][0]}, working memory {rows[-1][-1]} MiB"
    return Section("Memory of enhance", method, columns, rows, finding)


def _row(rows: int, columns: int, used: MemoryUse, scale: int) -> tuple[str, ...]:
    pixels = rows * columns
    stored = STORED_BYTES * pixels
    in_mib = (stored, stored * scale**2, used.before, used.peak, used.peak - used.before)
    return (
        f"{columns} × {rows}",
        digits(pixels / 1e6),
        digits(used.seconds),
        *(f"{size / MIB:,.0f}" for size in in_mib),
    )


def _measure(rows: int, columns: int) -> MemoryUse:
    with TemporaryDirectory() as folder:
        source = Path(folder) / "in.dcm"
        stored = (drawn.image(rows, columns) * 4095).round().astype(np.uint16)
        write_dicom(source, dicom(stored, "CR", BitsStored=12, HighBit=11))
        command = [sys.executable, "-m", "benchmarks.memory", str(source)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise StepError(f"enhance, {columns} × {rows}: expected an image, got: {process.stderr.strip()[-500:]}")
    return MemoryUse(**json.loads(process.stdout.splitlines()[-1]))


def enhance_once(source: Path, settings: PixelTraining) -> MemoryUse:
    """Enhances `source` into `out.dcm` beside it, and gives this process's memory and time."""
    network = contestants.network(settings).eval()
    generator = Generator(network, settings.scale, "benchmark", "0", (0.1, 99.9))
    before = _in_status("VmRSS")
    record = enhance_file(source, source.with_name("out.dcm"), generator)
    return MemoryUse(before, _in_status("VmHWM"), round(record.seconds, 3))


def _in_status(name: str) -> int:
    match = re.search(rf"^{name}:\s*(\d+) kB", STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    if not match:
        raise StepError(f"{STATUS}: expected {name}, found none. Memory is measured on Linux only.")
    return int(match[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(asdict(enhance_once(Path(sys.argv[1]), recipe("quick")))))
