"""Tables of scores whose PSNR a test decides, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from components.handover.sr_rows import SampleScore

ABOUT = ("S1", "0" * 16, 0, "P0", "CT", 4, "bicubic")
NOTHING = SampleScore(*ABOUT, 0, 0.9, 0, 0.8, 0.95, None, 0.5, 0.1, 0.2, 0.9, 1.1, 0.1, 40, 30, "bicubic", "")


def rows(psnr_db: Mapping[str, Sequence[float]], patients: Sequence[str] = ()) -> list[SampleScore]:
    """One image a column of `psnr_db`, in the order `evaluate` has them: every method of an image, then the next."""
    count = len(next(iter(psnr_db.values())))
    names = patients or [f"P{number}" for number in range(count)]
    return [
        replace(NOTHING, sample=f"S{n + 1}", patient_id=names[n], method=method, psnr_db=values[n])
        for n in range(count)
        for method, values in psnr_db.items()
    ]
