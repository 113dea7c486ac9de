"""What the search for text in ultrasound finds and misses: `python -m benchmarks.text_search`, by hand.

Fictitious names, dates and numbers are drawn on speckle and on real ultrasound images (those of the package
pydicom-data, and pictures in a folder that is named), in several fonts, sizes and contrasts. A line counts as found
where a region covers its middle. False alarms: regions on speckle, on a drawn depth scale and on the real images as
they are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFont

from benchmarks import machine
from components.dicom.burned_in import Box, clean, read_reviewed, regions_to_keep
from components.dicom.read import decode, open_dicom
from components.dicom.text_search import TextRegion, find_text
from components.handover import sha256_of
from components.imaging.decoding import UnreadableImage
from components.params import load_here
from components.sources.pydicom_data import items
from tests.lettering import Font, Grey, letters, speckle

ROWS, COLUMNS = 480, 640
SIZES = (8, 12, 16, 24, 32)  # of the font, in pixels
CONTRASTS = (160, 80, 40, 20)  # grey levels, of 255, above what the letters cover
LATIN = ("DOE^JANE", "Müller, Jörg", "07.08.1956", "ID 12-345-678", "Ng Li", "St. Mary's Hospital")
WESTERN = ("Иванов Иван", "Παπαδόπουλος", "محمد علي", "דוד כהן")
EASTERN = ("王小東", "田中 花子", "김민준")
FACES = ("DejaVuSans", "DejaVuSansMono-Bold")
WITHOUT_TEXT = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder of ultrasound pictures (PNG) without text")
    parser.add_argument("--font", type=Path, help="a font with Chinese, Japanese and Korean letters")
    options = parser.parse_args()
    print(machine.described(torch.device("cpu")), machine.revision())
    real = dict(public_images())
    real |= {path.name: grey(np.asarray(Image.open(path))) for path in sorted((options.images or Path()).rglob("*.png"))
             if options.images}  # fmt: skip
    grounds = [speckle(ROWS, COLUMNS, seed) for seed in range(4)]
    detected("Latin letters and digits on speckle, three fonts", grounds, LATIN, fonts)
    if real:
        detected(f"Latin letters and digits on {len(real)} real images", list(real.values()), LATIN, fonts)
    detected("Cyrillic, Greek, Arabic, Hebrew on speckle", grounds, WESTERN, lambda size: fonts(size)[1:2])
    if options.font:
        face = options.font
        detected("Chinese, Japanese, Korean on speckle", grounds, EASTERN,
                 lambda size: [ImageFont.truetype(face, size)])  # fmt: skip
    false_alarms(real)


def public_images() -> Iterator[tuple[str, Grey]]:
    """The ultrasound images of pydicom-data, cleaned as ingest cleans them; one frame, one encoding of each."""
    reviewed, seen = read_reviewed(Path("data/reviewed_regions.csv")), set()
    for item in items("", load_here()):
        try:
            image = open_dicom(item.path)
            if image.get("Modality") != "US":
                continue
            boxes = regions_to_keep(image, sha256_of(item.path), reviewed, item.name)
            if boxes is not None:
                clean(image, boxes, item.name)
            pixels = grey(decode(image, item.name).pixels[0])
        except UnreadableImage:
            continue
        if pixels.tobytes() not in seen:
            seen.add(pixels.tobytes())
            yield item.name, pixels


def grey(values: NDArray[np.generic]) -> Grey:
    """8 bits, (rows, columns)."""
    plain = values.astype(np.float32)
    plain = plain.max(axis=2) if plain.ndim == 3 else plain
    low, high = float(plain.min()), float(plain.max())
    scaled_values: Grey = np.rint((plain - low) * (255 / max(high - low, 1))).astype(np.uint8)
    return scaled_values


def fonts(size: int) -> list[Font]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [ImageFont.load_default(size), *(ImageFont.truetype(folder / f"{face}.ttf", size) for face in FACES)]


def search(picture: Grey) -> list[TextRegion]:
    return find_text(picture[None].astype(np.float32), [Box(0, 0, picture.shape[1] - 1, picture.shape[0] - 1)])


def detected(
    title: str,
    grounds: Sequence[Grey],
    texts: Sequence[str],
    fonts_of: Callable[[int], Sequence[Font]],
) -> None:
    """Prints how many lines are found, by size and contrast; a picture has each text once, every third hard edges."""
    print(f"\n{title}: lines found of those drawn\n")
    ground = cycle(grounds)
    print(f"| font size, pixels | {' | '.join(f'{contrast} grey levels' for contrast in CONTRASTS)} |")
    print("|---" * (len(CONTRASTS) + 1) + "|")
    for size in SIZES:
        cells = []
        for contrast in CONTRASTS:
            hits = drawn = 0
            for number, font in enumerate(fonts_of(size), start=1):
                picture = next(ground).copy()
                inks = list(lines(picture, texts, size, contrast, font, smooth=number % 3 > 0))
                regions = search(picture)
                hits += sum(any(covers(region.box, ink) for region in regions) for ink in inks)
                drawn += len(inks)
            cells.append(f"{hits} of {drawn}")
        print(f"| {size} | {' | '.join(cells)} |", flush=True)


def lines(
    picture: Grey, texts: Sequence[str], size: int, contrast: int, font: Font, smooth: bool
) -> Iterator[tuple[int, int, int, int]]:
    """Draws the texts that fit, from the top down."""
    rows, columns = picture.shape
    step = max(rows // (len(texts) + 1), 2 * size)
    for number, text in enumerate(texts, start=1):
        x, y = (37 * number) % max(1, columns // 3), number * step - size
        if y + 2 * size < rows and x + font.getlength(text) < columns:
            yield letters(picture, text, x, y, size, contrast, font, smooth)


def covers(box: Box, ink: tuple[int, int, int, int]) -> bool:
    x, y = (ink[0] + ink[2]) / 2, (ink[1] + ink[3]) / 2
    return box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def false_alarms(real: dict[str, Grey]) -> None:
    """Prints how many pictures without text have a region, and the seconds a picture takes."""
    kinds = {
        "speckle": [speckle(ROWS, COLUMNS, seed) for seed in range(100, 100 + WITHOUT_TEXT)],
        "speckle with a depth scale": [scaled(speckle(ROWS, COLUMNS, seed)) for seed in range(200, 200 + WITHOUT_TEXT)],
        "real images": list(real.values()),
    }
    print("\n| pictures | with a region | seconds a picture, median (range) |\n|---|---|---|")
    for kind, pictures in kinds.items():
        seconds, alarms = [], 0
        for picture in pictures:
            begun = time.monotonic()
            alarms += bool(search(picture))
            seconds.append(time.monotonic() - begun)
        if seconds:
            times = f"{np.median(seconds):.2f} ({min(seconds):.2f} – {max(seconds):.2f})"
            print(f"| {kind} | {alarms} of {len(pictures)} | {times} |", flush=True)
    for name, picture in real.items():
        for region in search(picture):
            print(f"{name}: {region}")


def scaled(picture: Grey) -> Grey:
    """`picture` with ticks and depths in cm along its right edge, and a marker of the probe's side."""
    for number, y in enumerate(range(40, ROWS - 20, 45), start=1):
        picture[y, COLUMNS - 40 : COLUMNS - 30] = 255
        letters(picture, str(number), COLUMNS - 26, y - 7, 14)
    letters(picture, "V", 20, 20, 18)
    return picture


if __name__ == "__main__":
    main()
