"""Broken files (`benchmarks/mutations.py`) through the service: `python -m tests.serving.fuzzing 10000`."""

from __future__ import annotations

import logging
import re
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydicom import dcmread

from benchmarks.mutations import mutated
from components.handover import Layout
from components.serving.champion import Champion
from components.serving.service import Service
from components.serving.spool import MADE, QUARANTINE, REASON, WAITING
from tests.serving.nodes import BICUBIC, settings

UNEXPECTED = "unexpected"


def fuzz(root: Path, count: int, seed: int) -> Counter[str]:
    """What became of each, also those set aside for an error that nobody thought of, by its name."""
    service = Service(Layout(root), settings(1), Champion(lambda: BICUBIC))
    found: Counter[str] = Counter()
    for _, content in mutated(seed, range(count)):
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
