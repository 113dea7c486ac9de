"""What arrives for enhancement, against what was trained on.

Every enhanced image leaves a line in `mlruns/enhancements.jsonl`: statistics of its pixels, timing, model. No name,
number, UID, path or date of the patient's is in it. Drift is looked for by modality and statistic: Kolmogorov and
Smirnov's two-sample test, corrected by Holm over all of them, and the Wasserstein distance in standard deviations of
the reference, so that a shift has to be seen and to be large enough to matter.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import stats
from skimage.restoration import estimate_sigma

from components.dicom.frames import frame_values
from components.dicom.read import open_dicom, stored_frames
from components.handover import Layout, PreparedRow, read_rows, write_rows
from components.imaging.decoding import BROKEN
from components.imaging.geometry import content_box
from components.imaging.intensity import luma, padding_of, percentile_range, to_unit

FEW = 20  # images of a modality, on either side, below which nothing can be told
SIGNIFICANT = 0.05  # after Holm's correction over every test of the page
MATTERS = 0.3  # standard deviations of the reference
BLOCK = 2**20  # bytes of records read at a time
BLANK = 0.01  # as prepare cuts
STATISTICS = {
    "mean": "mean of the image in [0, 1]",
    "contrast": "standard deviation of the image",
    "edges": "mean length of the gradient",
    "noise": "standard deviation of the noise, estimated from the finest wavelet (Donoho and Johnstone 1994)",
    "fine_power": "share of the power above half the highest frequency",
    "side": "logarithm to base 2 of the geometric mean of rows and columns",
}
UNKNOWN, FEW_SEEN, SAME, DRIFTED = "never trained on", "too few to tell", "as trained on", "drifted"

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Record:
    """One enhanced image, without identity."""

    at: str  # when it was enhanced, to the second, UTC
    modality: str  # OT for a picture
    rows: int
    columns: int
    frames: int
    model: str
    version: str
    seconds: float
    statistics: dict[str, float]  # of the middle frame


@dataclass(frozen=True)
class Finding:
    """One statistic of one modality; the numbers are nan where there are too few images."""

    modality: str
    statistic: str
    reference: int  # images trained on
    arrived: int
    reference_mean: float
    arrived_mean: float
    distance: float  # Wasserstein's, in standard deviations of the reference
    p_holm: float
    verdict: str


def measure(image: Image) -> dict[str, float]:
    """Every statistic of `image`, (rows, columns) in [0, 1]."""
    down, across = np.gradient(image.astype(np.float64))
    return {
        "mean": float(image.mean()),
        "contrast": float(image.std()),
        "edges": float(np.hypot(down, across).mean()),
        "noise": float(estimate_sigma(image)),
        "fine_power": _fine_power(image),
        "side": math.log2(math.sqrt(image.shape[0] * image.shape[1])),
    }


def observe(source: Path, percentiles: tuple[float, float]) -> tuple[str, dict[str, float]]:
    """Modality and statistics of the DICOM image `source`, brought to [0, 1] as images are before training.

    Of a film, its middle frame. Statistics are empty where every pixel has one value, or where it has none that can be
    told, as of a single row. Raises `UnreadableImage`.
    """
    header = open_dicom(source)
    modality = str(header.get("Modality") or "OT")
    try:
        frame = _middle_frame(header)
        unit = to_unit(frame, *percentile_range(frame, *percentiles, padding_of(frame)))
        content = unit[content_box(unit, BLANK)]
        return modality, measure(content if min(content.shape) > 1 else unit)
    except BROKEN:
        return modality, {}


def _middle_frame(header: Dataset) -> Image:
    middle = int(header.get("NumberOfFrames") or 1) // 2
    values = frame_values(next(islice(stored_frames(header), middle, None)), header, middle)
    frame = luma(values[None])[0] if values.ndim == 3 else values
    return frame.max() + frame.min() - frame if header.PhotometricInterpretation == "MONOCHROME1" else frame


def note(layout: Layout, record: Record) -> None:
    """Adds a line; several processes may."""
    layout.mlruns.mkdir(parents=True, exist_ok=True)
    with records_path(layout).open("a+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(max(0, handle.tell() - 1))
        cut = handle.read() not in ("", "\n")  # by a kill: what follows must not be lost with it
        handle.write("\n" * cut + json.dumps(asdict(record)) + "\n")


def now() -> str:
    """This second, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def records(layout: Layout, days: float, say: Callable[[str], object] = print) -> list[Record]:
    """Of the last `days`, oldest first. `say` hears how many lines are none: cut short by a kill, of another version.

    Fields that are not known are left out.
    """
    path, since = records_path(layout), (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    if not path.is_file():
        return []
    lines = [line for line in _since(path, since) if line]
    found = [record for record in map(_read, lines) if record]
    if passed_over := len(lines) - len(found):
        say(f"{path.name}: {passed_over} lines are no records of this version's and were passed over")
    return [record for record in found if record.at >= since]


def _since(path: Path, moment: str) -> list[str]:
    """Its lines from `moment` on and some before, read from the end: it holds years."""
    blocks: list[bytes] = []
    with path.open("rb") as handle:
        begin = handle.seek(0, os.SEEK_END)
        while begin:
            end, begin = begin, max(0, begin - BLOCK)
            handle.seek(begin)
            blocks.insert(0, handle.read(end - begin))
            whole = [record for record in map(_read, blocks[0].decode(errors="replace").splitlines()[1:-1]) if record]
            if begin and whole and whole[0].at < moment:
                blocks[0] = blocks[0].partition(b"\n")[2]
                break
    return b"".join(blocks).decode(errors="replace").splitlines()


def _read(line: str) -> Record | None:
    try:
        content = json.loads(line)
        record = Record(**{field.name: content[field.name] for field in fields(Record)})
        told = {str(name) for name in record.statistics}
    except (json.JSONDecodeError, KeyError, TypeError):
        return None
    return record if isinstance(record.at, str) and (not told or told >= set(STATISTICS)) else None


def reference(layout: Layout) -> dict[str, list[dict[str, float]]]:
    """Statistics of the images that generators were trained on, at their own size, by modality.

    Raises `StepError` where nothing was prepared yet.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for row in read_rows(layout.super_resolution / "index.csv", PreparedRow):
        if row.split == "train" and row.sample_id == f"{row.image_id}-{row.frame}":
            with np.load(layout.super_resolution / row.file) as file:
                found.setdefault(row.modality, []).append(measure(file["hr"]))
    return found


def examine(
    trained_on: Mapping[str, list[dict[str, float]]], arrived: Iterable[Record], few: int = FEW
) -> list[Finding]:
    """Every statistic of every modality that arrived."""
    by_modality: dict[str, list[dict[str, float]]] = {}
    for record in arrived:
        if record.statistics:
            by_modality.setdefault(record.modality, []).append(record.statistics)
    found = [
        finding
        for modality in sorted(by_modality)
        for finding in _compared(modality, trained_on.get(modality, []), by_modality[modality], few)
    ]
    return _judged(found)


def _compared(
    modality: str, before: list[dict[str, float]], now: list[dict[str, float]], few: int
) -> Iterator[Finding]:
    enough = min(len(before), len(now)) >= few
    for name in STATISTICS:
        old, new = (np.array([one[name] for one in rows]) for rows in (before, now))
        distance = p = math.nan
        if enough:
            p = float(stats.ks_2samp(old, new).pvalue)
            spread = float(old.std(ddof=1)) or math.ulp(1.0)
            distance = float(stats.wasserstein_distance(old, new)) / spread
        yield Finding(
            modality=modality,
            statistic=name,
            reference=len(old),
            arrived=len(new),
            reference_mean=float(old.mean()) if len(old) else math.nan,
            arrived_mean=float(new.mean()),
            distance=distance,
            p_holm=p,
            verdict="" if enough else FEW_SEEN if before else UNKNOWN,
        )


def _judged(found: list[Finding]) -> list[Finding]:
    """With Holm's corrected p in place of the plain one, and a verdict each."""
    tested = sorted((finding for finding in found if not finding.verdict), key=lambda finding: finding.p_holm)
    corrected, least = {}, 0.0
    for rank, finding in enumerate(tested):
        least = max(least, min(1.0, finding.p_holm * (len(tested) - rank)))
        corrected[finding.modality, finding.statistic] = least
    return [_verdict(finding, corrected.get((finding.modality, finding.statistic))) for finding in found]


def _verdict(finding: Finding, p: float | None) -> Finding:
    if p is None:
        return finding
    verdict = DRIFTED if p < SIGNIFICANT and finding.distance > MATTERS else SAME
    return Finding(**asdict(finding) | {"p_holm": p, "verdict": verdict})


def said(found: list[Finding], days: float) -> str:
    """One sentence: what drifted, what was never trained on, or that there is nothing to say."""
    if not found:
        return f"no image was enhanced in the last {days:g} days"
    drifted = [f"{one.modality}: {one.statistic}" for one in found if one.verdict == DRIFTED]
    unknown = sorted({one.modality for one in found if one.verdict == UNKNOWN})
    few = sorted({one.modality for one in found if one.verdict == FEW_SEEN})
    told = [f"drifted: {', '.join(drifted)}"] if drifted else []
    told += [f"{UNKNOWN}: {', '.join(unknown)}"] if unknown else []
    told += [f"{FEW_SEEN}: {', '.join(few)}"] if few else []
    return "; ".join(told) or "what arrives is as what was trained on"


def alarming(found: list[Finding]) -> bool:
    """Whether somebody should look."""
    return any(finding.verdict in (DRIFTED, UNKNOWN) for finding in found)


def write(layout: Layout, found: list[Finding], seen: list[Record], days: float) -> Path:
    """Writes `mlruns/monitoring/drift.csv` and the page beside it, which is returned."""
    folder = layout.mlruns / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "drift.csv", Finding, found)
    template = Path(__file__).with_suffix(".html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    versions = sorted({(one.model, one.version) for one in seen})
    seconds = sorted(one.seconds for one in seen)
    page = folder / "drift.html"
    page.write_text(
        environment.from_string(template).render(
            said=said(found, days),
            alarming=alarming(found),
            at=now(),
            days=days,
            found=found,
            images=len(seen),
            silent=sum(not one.statistics for one in seen),
            versions=versions,
            median_s=float(np.median(seconds)) if seconds else math.nan,
            slowest_s=seconds[-1] if seconds else math.nan,
            statistics=STATISTICS,
            few=FEW,
            significant=SIGNIFICANT,
            matters=MATTERS,
            drifted=DRIFTED,
            unknown=UNKNOWN,
        ),
        encoding="utf-8",
    )
    return page


def records_path(layout: Layout) -> Path:
    """Where `note` writes."""
    return layout.mlruns / "enhancements.jsonl"


def _fine_power(image: Image) -> float:
    """Of the image less its mean, under a Hann window, so that its borders are not taken for structure."""
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    power = np.abs(np.fft.rfft2((image - image.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None])
    total = float(power.sum())
    return float(power[radius > 0.25].sum()) / total if total else 0.0


def as_table(found: list[Finding]) -> list[dict[str, Any]]:
    """Rows for a table on Prefect's pages: numbers that are none as nothing."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(one).items()}
        for one in found
    ]
