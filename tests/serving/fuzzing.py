"""Real images with bytes changed, cut out, put in or taken from another: `python -m tests.serving.fuzzing 10000`."""

from __future__ import annotations

import logging
import re
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from pydicom import dcmread

from components.handover import Layout
from components.serving.champion import Champion
from components.serving.service import Service
from components.serving.spool import MADE, QUARANTINE, REASON, WAITING
from tests.serving.nodes import BICUBIC, settings

REAL = (Path(str(files("data_store"))) / "data", Path(str(files("pydicom"))) / "data" / "test_files")
UNEXPECTED = "unexpected"
LARGEST = 150_000  # bytes, so that ten thousand take minutes


def mutated(count: int, seed: int) -> Iterator[bytes]:
    """`count` files, the same for the same `seed`."""
    random = np.random.default_rng(seed)
    paths = sorted(path for folder in REAL for path in folder.rglob("*.dcm"))
    whole = [path.read_bytes() for path in paths if path.stat().st_size <= LARGEST]
    for number in range(count):
        content = bytearray(whole[number % len(whole)])
        header = min(len(content), 3000)  # where the elements are; pixels forgive most
        for _ in range(int(random.integers(1, 6))):
            at = int(random.integers(132, header if random.random() < 0.8 else len(content)))
            kind = random.integers(5)
            if kind == 0:
                content[at] ^= 1 << int(random.integers(8))
            elif kind == 1:
                content[at : at + 4] = random.bytes(4)
            elif kind == 2:
                content[at : at + 2] = (b"\xff\xff", b"\x00\x00", b"\xff\x7f")[int(random.integers(3))]
            elif kind == 3:
                del content[at : at + int(random.integers(1, 64))]
            else:
                other = whole[int(random.integers(len(whole)))]
                content[at:at] = other[at : at + int(random.integers(1, 64))]
            header = min(header, len(content))
        if random.random() < 0.1:
            del content[int(random.integers(132, len(content))) :]
        yield bytes(content)


def fuzz(root: Path, count: int, seed: int) -> Counter[str]:
    """What became of each, also those set aside for an error that nobody thought of, by its name."""
    service = Service(Layout(root), settings(1), Champion(lambda: BICUBIC))
    found: Counter[str] = Counter()
    for content in mutated(count, seed):
        source = root / "sent.dcm"
        source.unlink(missing_ok=True)
        source.write_bytes(content)
        key, new = service.spool.take(source, "archive", "SENDER")
        if not new:
            found["sent twice"] += 1
            continue
        assert service.workshop.make_next() and not service.spool.listed(WAITING)
        if service.spool.state_of(key) == MADE:
            _check(service, key)
            service.spool.sent(key, MADE)
        found[_unexpected(service, key) or service.spool.state_of(key)] += 1
    return found


def _unexpected(service: Service, key: str) -> str:
    """The error it was set aside for, where that was one that a library raised and nobody thought of; else nothing."""
    reason = service.spool.folder(QUARANTINE, key) / REASON
    found = re.match(r"[A-Z][A-Za-z]*(Error|Exception)(?=: )", reason.read_text("utf-8") if reason.is_file() else "")
    return f"{UNEXPECTED}: {found[0]}" if found else ""


def _check(service: Service, key: str) -> None:
    """What goes out is an image that can be read, and is derived from what came in."""
    folder = service.spool.folder(MADE, key)
    derived, source = (
        dcmread(folder / "derived.dcm"),
        dcmread(folder / "image.dcm", force=True, stop_before_pixels=True),
    )
    assert derived.ImageType[0] == "DERIVED", key
    assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID, key
    assert len(derived.pixel_array), key


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    began = time.monotonic()
    with TemporaryDirectory() as place:
        outcome = fuzz(Path(place), int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{dict(outcome)}, {time.monotonic() - began:.0f} s, {peak:.0f} MiB at the peak")
    assert outcome[QUARANTINE]
