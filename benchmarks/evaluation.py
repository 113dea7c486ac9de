"""Time and memory of evaluation where every method's images are ready: `python -m benchmarks.evaluation`.

The floor is reading: 200 images of 512 x 512 by six methods, 16-bit PNG, and the originals.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from PIL import Image

from components.evidence.compared_methods import Method, external_method
from components.evidence.comparing import compare
from components.evidence.scoring import Protocol, score_all
from components.evidence.summarising import summarise
from components.handover import PreparedRow, write_rows
from components.handover.methods import LEADER
from components.imaging.degradation import degrade, enlarge
from components.learning.datasets.pairs import iterate_pairs, rows_of

SCALE, SIDE, FULL = 4, 512, 65535
SAMPLES = 2000  # bootstraps of an interval, as `evaluate.bootstrap_samples`
METHODS = ("bicubic", "a", "b", "c", "d", "e")


def draw(folder: Path, count: int) -> None:
    """`count` prepared images, one a patient, and six programs' answers to each."""
    (folder / "prepared").mkdir()
    rows = [_draw_one(folder, number) for number in range(count)]
    write_rows(folder / "prepared" / "index.csv", PreparedRow, rows)


def _draw_one(folder: Path, number: int) -> PreparedRow:
    random = np.random.default_rng(number)
    image = enlarge(random.random((SIDE // 8, SIDE // 8)).astype(np.float32), 8).clip(0, 1)
    image = (0.9 * image + 0.1 * random.random(image.shape)).astype(np.float32)
    low = degrade(image, SCALE, "bicubic", 0)
    name = f"{number:016x}-0"
    np.savez(folder / "prepared" / f"{name}.npz", allow_pickle=False, hr=image, mask=image > 0.3, lr_x4=low)
    for step, method in enumerate(METHODS):
        sharpened = (1 - 0.1 * step) * enlarge(low, SCALE) + 0.1 * step * image
        (folder / method).mkdir(exist_ok=True)
        Image.fromarray((sharpened.clip(0, 1) * FULL).round().astype(np.uint16)).save(folder / method / f"{name}.png")
    return PreparedRow(
        sample_id=name,
        image_id=name[:16],
        frame=0,
        patient_id=f"P{number:012x}",
        modality="MR",
        split="test",
        rows=SIDE,
        columns=SIDE,
        low=0.0,
        high=1.0,
        file=f"{name}.npz",
    )


def methods_in(folder: Path) -> Iterator[Method]:
    rows = rows_of(folder / "prepared", "test")
    for method in METHODS:
        images = external_method("outside", folder / method, rows)
        yield Method(method, images.sharpen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    count = parser.parse_args().images
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, count)
        methods = list(methods_in(folder))
        started = time.perf_counter()
        for pair in iterate_pairs(folder / "prepared", "test", SCALE):
            for method in methods:
                method.sharpen(pair)
        reading = time.perf_counter() - started
        started, rows, memory_mb = time.perf_counter(), [], []
        pairs = iterate_pairs(folder / "prepared", "test", SCALE)
        for scored in score_all(pairs, methods, Protocol(SCALE, "bicubic", torch.device("cpu"))):
            rows += scored.rows
            memory_mb.append(process.memory_info().rss / 1e6)
        scoring = time.perf_counter() - started
        started = time.perf_counter()
        best = summarise(rows, SAMPLES, 0)[0].method
        summary = time.perf_counter() - started
        started = time.perf_counter()
        compare(rows, {"bicubic": "bicubic", LEADER: best}, SAMPLES, 0)
        comparisons = time.perf_counter() - started
    quarter = max(1, count // 4)
    print(f"{count} images of {SIDE} x {SIDE} by {len(METHODS)} methods, {torch.get_num_threads()} threads")
    print(f"reading alone {reading:.1f} s; read and scored {scoring:.1f} s")
    print(f"summaries with intervals {summary:.1f} s; comparisons with bicubic and the best {comparisons:.1f} s")
    print(f"memory {memory_mb[quarter - 1]:.0f} MB after a quarter of the images, {memory_mb[-1]:.0f} MB after all")


if __name__ == "__main__":
    main()
