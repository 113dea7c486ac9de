"""Looks for text inside the regions that an image keeps: machines write there too, and no header says so.

Two networks of PP-OCRv6 (Apache-2.0), which lie in the package rapidocr, do it. One marks lines of text in any script.
The other reads Latin letters, digits, Chinese and Japanese; it decides on what is short or faint, as depths and tick
marks are. What it reads may be a name, and is told to nobody.
No search finds all text. It is a second look beside the rules of `burned_in`, never a reason to skip a person's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from string import digits
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.dicom.burned_in import Box
from components.handover import StepError
from components.imaging.decoding import UnreadableImage

ENLARGED = 2.0  # letters of 8 pixels are too small for the networks as they are
LONGEST_SIDE = 2000  # pixels that the networks see at most, in 1 GB of memory
SHORTEST_SIDE = 64
# scores are from 0 to 1; each number is chosen on drawn and public images, see benchmarks/RESULTS.md
SURE = 0.7  # score of a mark from which on it counts though nothing reads it: its script may be another
LONG = 1.75  # times its height: a line of three letters or more
READ, CLEARLY_READ = 0.5, 0.8  # scores of a reading, mean over its characters
FEWEST_CHARACTERS = 3  # letters and digits: depths along a scale and tick marks have fewer
FEWEST_BEYOND_ASCII = 2  # such letters; two of them can be a whole name
LISTED = 5  # regions that a message lists


@dataclass(frozen=True)
class TextRegion:
    """A line of text: where it is, in which frame (from 0), and how sure the marking network is, from 0 to 1."""

    box: Box
    frame: int
    score: float


def require_reader() -> None:
    """Raises `StepError` where the packages that read text are missing or cannot be loaded."""
    try:
        import onnxruntime
        import rapidocr
    except ImportError as error:
        raise StepError(
            f"ingest.find_text: expected the packages of the extra `ocr`, found that they cannot be loaded ({error}). "
            "`make setup` installs them, as does `pip install 'medsr[ocr]'`; or set ingest.find_text to false."
        ) from error
    del onnxruntime, rapidocr


def reader_versions() -> tuple[str, ...]:
    """The versions of the packages that decide what is found. Raises `StepError` as `require_reader`."""
    require_reader()
    import cv2
    import onnxruntime

    return version("rapidocr"), cv2.__version__, onnxruntime.__version__  # the last two have packages of several names


def refuse_text(pixels: NDArray[np.float32], boxes: Sequence[Box], sha256: str, name: str) -> None:
    """Raises `UnreadableImage` where `find_text` finds any; its reason says where, and not what. `name` is the file's.

    `sha256` is of the file as it came, under which a person's review is listed.
    """
    regions = find_text(pixels, boxes)
    if not regions:
        return
    listed = ", ".join(_place(region) for region in regions[:LISTED])
    more = f" and {len(regions) - LISTED} more" if len(regions) > LISTED else ""
    lines = "1 line" if len(regions) == 1 else f"{len(regions)} lines"
    raise UnreadableImage(
        name,
        f"text is inside the regions that stay: expected none, found {lines} at {listed}{more}. Look at "
        f"it and add the region to keep to data/reviewed_regions.csv under sha256 {sha256}",
    )


def find_text(pixels: NDArray[np.float32], boxes: Sequence[Box]) -> list[TextRegion]:
    """Lines of text inside `boxes`, each once, in the order in which they are met.

    `pixels` is (frames, rows, columns) or (frames, rows, columns, 3), larger is brighter, any range. Of a film the
    first, middle and last frame are searched: what a machine writes stands in all frames, what is typed while it
    records stands in the last, and the middle one shows what was wiped again. Raises `StepError` as `require_reader`.
    """
    rows, columns = pixels.shape[1:3]
    inside = [box for box in (_clipped(box, rows, columns) for box in boxes) if box.x0 <= box.x1 and box.y0 <= box.y1]
    found: list[TextRegion] = []
    for number in sorted({0, (len(pixels) - 1) // 2, len(pixels) - 1}):
        for box in inside:
            for region in _search(pixels[number], box, number):
                if not any(_overlap(region.box, other.box) for other in found):
                    found.append(region)
    return found


def _search(frame: NDArray[np.float32], box: Box, number: int) -> Iterator[TextRegion]:
    picture, enlarged = _picture(frame[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1])
    marked = _reader()(picture, use_det=True, use_rec=False)
    for corners, score in zip(marked.boxes, marked.scores, strict=True) if marked.boxes is not None else ():
        if _is_text(corners, score, *_read(picture, corners)):
            x0, y0 = np.floor(corners.min(axis=0) / enlarged).astype(int)
            x1, y1 = np.ceil(corners.max(axis=0) / enlarged).astype(int)
            place = Box(box.x0 + x0, box.y0 + y0, box.x0 + x1, box.y0 + y1)
            yield TextRegion(_clipped(place, *frame.shape[:2]), number, float(score))


def _read(picture: NDArray[np.uint8], corners: NDArray[np.float32]) -> tuple[str, float]:
    """What stands between `corners`, (4, 2) as x and y, and how sure that is; nothing, 0 where it cannot be read."""
    (x0, y0), (x1, y1) = corners.min(axis=0).astype(int), corners.max(axis=0).astype(int) + 1
    reading = _reader()(picture[y0:y1, x0:x1], use_det=False, use_rec=True)
    return (reading.txts[0], float(reading.scores[0])) if reading.txts else ("", 0.0)


def _is_text(corners: NDArray[np.float32], marked: float, text: str, read: float) -> bool:
    """Whether a mark counts: it is read as text, or it is sure and long, and not clearly a depth beside its tick."""
    characters = [character for character in text if character.isalnum()]
    beyond_ascii = sum(not character.isascii() for character in characters)
    if read >= READ and (len(characters) >= FEWEST_CHARACTERS or beyond_ascii >= FEWEST_BEYOND_ASCII):
        return True
    depth = read >= CLEARLY_READ and bool(characters) and all(character in digits for character in characters)
    sides = [float(np.linalg.norm(corners[0] - corners[place])) for place in (1, 3)]
    return marked >= SURE and max(sides) >= LONG * min(sides) and not depth


@cache
def _reader() -> Any:
    """RapidOCR on files of its package alone: with their paths given it asks no network for others."""
    require_reader()
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.text_score": 0.0,
            "Global.min_side_len": 1,
            "Det.limit_type": "max",
            "Det.limit_side_len": LONGEST_SIDE,
            "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
            "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
        }
    )


def _picture(part: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float]:
    """`part` in 8 bits as (rows, columns, 3), blue first, and how much larger it is; a short side is filled up dark."""
    low, high = float(part.min()), float(part.max())
    grey = np.rint((part - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    colour = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
    rows, columns = colour.shape[:2]
    enlarged = min(ENLARGED, LONGEST_SIDE / max(rows, columns))
    size = max(1, round(columns * enlarged)), max(1, round(rows * enlarged))
    resized = np.asarray(Image.fromarray(colour).resize(size, Image.Resampling.BICUBIC))
    missing = [max(0, SHORTEST_SIDE - side) for side in resized.shape[:2]]
    padded = np.pad(resized, ((0, missing[0]), (0, missing[1]), (0, 0)))
    return np.ascontiguousarray(padded[..., ::-1]), enlarged


def _clipped(box: Box, rows: int, columns: int) -> Box:
    return Box(max(int(box.x0), 0), max(int(box.y0), 0), min(int(box.x1), columns - 1), min(int(box.y1), rows - 1))


def _overlap(one: Box, other: Box) -> bool:
    """Whether the middle of either lies in the other."""
    return _holds_middle(one, other) or _holds_middle(other, one)


def _holds_middle(outer: Box, inner: Box) -> bool:
    x, y = (inner.x0 + inner.x1) / 2, (inner.y0 + inner.y1) / 2
    return outer.x0 <= x <= outer.x1 and outer.y0 <= y <= outer.y1


def _place(region: TextRegion) -> str:
    box = region.box
    return f"columns {box.x0} to {box.x1} and rows {box.y0} to {box.y1} of frame {region.frame + 1}"
