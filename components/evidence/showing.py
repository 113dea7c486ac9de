"""The held-out images that the report shows: chosen by rule, windowed as their modality is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evidence.averaging import gains
from components.handover import PreparedRow
from components.handover.sr_rows import ProfilePoint, SampleScore
from components.imaging.pictures import save_error, save_grey, zoom_window
from components.learning.datasets.pairs import Pair

LUNG, SOFT_TISSUE = ("lung", -600.0, 1500.0), ("soft tissue", 40.0, 400.0)  # level and width, HU
AIR_IN_LUNGS = (-950.0, -500.0)  # HU
LEAST_LUNG = 0.2  # share of the body's pixels from where on a CT is read for its lungs
LEAST_AIR = -500.0  # HU: a CT that reaches no lower is in other units, or a cut of something else
ENDS = (1.0, 99.0)  # percentiles inside the body, for images without units

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Display:
    """A display window: its name, and the values of an image in [0, 1] that are shown black and white."""

    name: str
    black: float
    white: float

    def __call__(self, image: Image) -> Image:
        return np.asarray((image - self.black) / (self.white - self.black), np.float32)


def display_of(row: PreparedRow, image: Image, body: NDArray[np.bool_]) -> Display:
    """The window of `image` (rows, columns) in [0, 1]: of CT lung or soft tissue, by what is in the body.

    Ultrasound is shown as it comes, everything else from the 1st to the 99th percentile inside the body.
    """
    inside = image[body]
    if row.modality == "US" or not inside.size:
        return Display("as stored", 0.0, 1.0)
    span = row.high - row.low
    if row.modality == "CT" and row.low <= LEAST_AIR:
        units = inside * span + row.low
        lung = ((units > AIR_IN_LUNGS[0]) & (units < AIR_IN_LUNGS[1])).mean() >= LEAST_LUNG
        name, level, width = LUNG if lung else SOFT_TISSUE
        ends = (level - width / 2 - row.low) / span, (level + width / 2 - row.low) / span
        return Display(f"{name}, {width:g} HU wide at {level:g} HU", *ends)
    black, white = (float(value) for value in np.percentile(inside, ENDS))
    if white <= black:
        return Display("as stored", 0.0, 1.0)
    return Display("1st to 99th percentile inside the body", black, white)


def choose_samples(rows: Sequence[SampleScore], leader: str, count: int) -> dict[str, str]:
    """At most `count` samples with their ranks by `leader`'s PSNR gain over bicubic, best first.

    They are spread evenly from the best to the worst. An odd count includes the median; a single one is the median.
    """
    leader_psnr, bicubic_psnr = (
        {row.sample: row.psnr_db for row in rows if row.method == name} for name in (leader, "bicubic")
    )
    gain = dict(
        zip(
            leader_psnr,
            gains(np.array([*leader_psnr.values()]), np.array([bicubic_psnr[sample] for sample in leader_psnr])),
            strict=True,
        )
    )
    ranked = sorted(leader_psnr, key=lambda sample: -gain[sample])
    last = len(ranked) - 1
    ranks = np.linspace(0, last, min(count, len(ranked))).round().astype(int) if count > 1 else [last // 2]
    return {ranked[rank]: _rank_name(int(rank), last) for rank in ranks}


def _rank_name(rank: int, last: int) -> str:
    names = {0: "best", last: "worst", last // 2: "median"}
    if last == 0:
        return "the only one"
    return names.get(rank, f"rank {rank + 1} of {last + 1}")


@dataclass(frozen=True)
class Shown:
    """One image in the report: what `pictures.json` says of it, and the values along its profile line."""

    record: dict[str, Any]
    profile: list[ProfilePoint]


def show(folder: Path, sample: str, rank: str, pair: Pair, scale: int, images: dict[str, Image]) -> Shown:
    """Saves the pictures of one sample, `images` by method: whole, a detail, and the detail's error.

    All pictures have the original's window, except errors, which have none. The profile is taken along the row of the
    detail where the original varies most.
    """
    original, body = pair.high[0].numpy(), pair.body[0].numpy()
    window, display = zoom_window(original, body), display_of(pair.row, original, body)
    low = pair.low[0].numpy()
    shown = {"original": original, "input": low.repeat(scale, 0).repeat(scale, 1), **images}
    files: dict[str, dict[str, str]] = {}
    for name, image in shown.items():
        files[name] = {"full": f"{sample}-{name}.png", "zoom": f"{sample}-{name}.zoom.png"}  # no name has a dot
        save_grey(folder / files[name]["full"], display(image))
        save_grey(folder / files[name]["zoom"], display(window.cut(image)))
        if name in images:
            files[name]["error"] = f"{sample}-{name}.error.png"
            save_error(folder / files[name]["error"], window.cut(np.abs(image - original)))
    line = window.row + int(np.abs(np.diff(window.cut(original))).sum(1).argmax())
    record = {
        "sample": sample,
        "rank": rank,
        "image_id": pair.row.image_id,
        "modality": pair.row.modality,
        "display": display.name,
        "scale": scale,
        "size": list(original.shape),
        "zoom": [window.row, window.column, window.height, window.width],
        "profile_row": line,
        "methods": files,
    }
    columns = range(window.column, window.column + window.width)
    profile = [
        ProfilePoint(sample=sample, method=name, column=column, value=float(np.clip(image[line, column], 0, 1)))
        for name, image in shown.items()
        if name != "input"
        for column in columns
    ]
    return Shown(record, profile)
