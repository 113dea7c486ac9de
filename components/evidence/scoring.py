"""Every method on every held-out image, one image in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from components.evidence.measures import Distance, measure
from components.handover.sr_rows import SampleScore
from components.imaging.degradation import Kind
from components.learning.datasets.pairs import Pair

if TYPE_CHECKING:
    from components.evidence.compared_methods import Method
    from components.evidence.cost import Meter


@dataclass(frozen=True)
class Scored:
    """One held-out image: a row for each method, and the sharpened images `(M, 1, H, W)` in [0, 1], in that order."""

    sample: str
    pair: Pair
    rows: list[SampleScore]
    images: Tensor


@dataclass(frozen=True)
class Protocol:
    """What all scores of one table have in common."""

    scale: int
    degradation: Kind
    device: torch.device
    distance: Distance | None = None
    held_out_sha256: str = ""  # of the images, in their order


def score_all(
    pairs: Iterable[Pair], compared_methods: Sequence[Method], protocol: Protocol, meter: Meter | None = None
) -> Iterator[Scored]:
    """Each of `pairs` under each of `compared_methods`; samples are named S1, S2, … in the order they come.

    Images go through a network one by one; what goes together is an image's tiles, eight on a GPU. Groups of equal
    shape were tried on a processor: two to eight inputs of 128 pixels a side took 1.3 to 1.6 times as long, and under
    bfloat16 the others in a group moved a pixel by a hundredth of the range. A score has to depend on its image alone.
    """
    for number, pair in enumerate(pairs, start=1):
        images = torch.cat([_sharpened(method, pair, meter) for method in compared_methods])
        measurements = measure(
            images.to(protocol.device), pair, protocol.scale, protocol.degradation, protocol.distance
        )
        sample, row = f"S{number}", pair.row
        rows = [
            SampleScore(
                sample=sample,
                image_id=row.image_id,
                frame=row.frame,
                patient_id=row.patient_id,
                modality=row.modality,
                scale=protocol.scale,
                method=method.name,
                degradation=protocol.degradation,
                held_out_sha256=protocol.held_out_sha256,
                **asdict(measured),
            )
            for method, measured in zip(compared_methods, measurements, strict=True)
        ]
        yield Scored(sample, pair, rows, images)


def _sharpened(method: Method, pair: Pair, meter: Meter | None) -> Tensor:
    """`(1, 1, H, W)`, clipped to [0, 1] as an image file would."""
    if meter is None:
        return method.sharpen(pair).float().clamp(0, 1)
    with meter.running(method.name, pair.high.numel()):
        image = method.sharpen(pair)
    return image.float().clamp(0, 1)
