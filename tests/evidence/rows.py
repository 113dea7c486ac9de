"""Tables of scores whose PSNR a test decides, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from components.handover.sr_rows import SampleScore

NOTHING = SampleScore(
    sample="S1",
    image_id="0" * 16,
    frame=0,
    patient_id="P0",
    modality="CT",
    scale=4,
    method="bicubic",
    psnr_db=0,
    ssim=0.9,
    psnr_body_db=0,
    ssim_body=0.8,
    ms_ssim=0.95,
    lpips=None,
    edge_error=0.5,
    error_low=0.1,
    error_middle=0.2,
    error_beyond=0.9,
    error_beyond_worst=1.1,
    energy_beyond=0.1,
    consistency_db=40,
    consistency_worst_db=30,
    degradation="bicubic",
    held_out_sha256="",
)


def rows(psnr_db: Mapping[str, Sequence[float]], patients: Sequence[str] = ()) -> list[SampleScore]:
    """One image a column of `psnr_db`, in the order `evaluate` has them: every method of an image, then the next."""
    count = len(next(iter(psnr_db.values())))
    names = patients or [f"P{number}" for number in range(count)]
    return [
        replace(NOTHING, sample=f"S{n + 1}", patient_id=names[n], method=method, psnr_db=values[n])
        for n in range(count)
        for method, values in psnr_db.items()
    ]
