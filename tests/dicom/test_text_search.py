from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import ImageFont

from components.dicom import text_search
from components.dicom.burned_in import Box
from components.dicom.text_search import TextRegion, find_text, reader_versions, refuse_text, require_reader
from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from tests.lettering import letters, speckle

DEJAVU = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
WHOLE = Box(0, 0, 319, 239)


def frame(text: str = "", x: int = 60, y: int = 90, size: int = 20, seed: int = 0) -> np.ndarray:
    picture = speckle(240, 320, seed)
    if text:
        letters(picture, text, x, y, size)
    return picture.astype(np.float32)


def covers(region: TextRegion, ink: tuple[int, int, int, int]) -> bool:
    """Whether the region holds the ink, and goes beyond it by no more than a letter's height on each side."""
    box, (x0, y0, x1, y1) = region.box, ink
    beyond = (x0 - box.x0, y0 - box.y0, box.x1 - x1, box.y1 - y1)
    return min(beyond) >= -2 and max(beyond) <= y1 - y0


@pytest.mark.parametrize("text", ["DOE^JANE", "Müller, Jörg", "07.08.1956", "ID 12-345-678"])
def test_names_dates_and_numbers_inside_a_region_are_found_where_they_are(text: str) -> None:
    picture = speckle(240, 320)
    ink = letters(picture, text, 60, 90)
    (region,) = find_text(picture[None].astype(np.float32), [WHOLE])
    assert covers(region, ink) and region.frame == 0 and 0.5 <= region.score <= 1


@pytest.mark.parametrize("text", ["Иванов Иван", "Παπαδόπουλος", "محمد علي", "דוד כהן"])
def test_other_scripts_are_found_though_nothing_reads_them(text: str) -> None:
    picture = speckle(240, 320)
    ink = letters(picture, text, 60, 90, font=ImageFont.truetype(DEJAVU, 20))
    (region,) = find_text(picture[None].astype(np.float32), [WHOLE])
    assert covers(region, ink)


def test_each_line_is_one_region() -> None:
    picture = speckle(240, 320)
    first, second = letters(picture, "General Hospital", 40, 40), letters(picture, "DOE^JANE", 40, 150)
    regions = find_text(picture[None].astype(np.float32), [WHOLE])
    assert [covers(region, ink) for region, ink in zip(regions, (first, second), strict=True)] == [True, True]


@pytest.mark.parametrize("seed", range(4))
def test_speckle_alone_is_no_text(seed: int) -> None:
    assert find_text(frame(seed=seed)[None], [WHOLE]) == []


def test_depths_along_a_scale_are_no_text() -> None:
    picture = speckle(240, 320)
    for number, y in enumerate(range(20, 220, 40), start=1):
        picture[y, 280:290] = 255
        letters(picture, str(number * 5), 292, y - 7, 14)
    assert find_text(picture[None].astype(np.float32), [WHOLE]) == []


def test_only_the_regions_that_stay_are_searched() -> None:
    pixels = frame("DOE^JANE", y=90)[None]
    assert find_text(pixels, [Box(0, 130, 319, 239)]) == []
    assert len(find_text(pixels, [Box(0, 130, 319, 239), Box(50, 70, 319, 125)])) == 1


def test_overlapping_regions_give_a_line_once() -> None:
    assert len(find_text(frame("DOE^JANE")[None], [WHOLE, Box(20, 20, 300, 200)])) == 1


@pytest.mark.parametrize("low, high", [(0, 1), (-1024, 3000), (0, 65535)])
def test_any_range_of_values_is_searched(low: float, high: float) -> None:
    pixels = low + frame("DOE^JANE")[None] * np.float32((high - low) / 255)
    assert len(find_text(pixels, [WHOLE])) == 1


@pytest.mark.parametrize("colour", [(1, 1, 0), (0, 1, 0), (0, 0.3, 1)])
def test_coloured_letters_are_found(colour: tuple[float, float, float]) -> None:
    background, lettered = frame(), frame("DOE^JANE")
    pixels = background[..., None] + (lettered - background)[..., None] * np.float32(colour)
    assert len(find_text(pixels[None], [WHOLE])) == 1


@pytest.mark.parametrize("turns", [1, 3])
def test_upright_lines_are_found(turns: int) -> None:
    turned = np.rot90(frame("DOE^JANE"), turns)[None]
    assert len(find_text(turned, [Box(0, 0, 239, 319)])) == 1


def test_dark_letters_on_bright_tissue_are_found() -> None:
    assert len(find_text(255 - frame("DOE^JANE")[None], [WHOLE])) == 1


def test_what_stands_in_every_frame_of_a_film_is_one_region() -> None:
    film = np.stack([frame("DOE^JANE", seed=seed) for seed in range(5)])
    (region,) = find_text(film, [WHOLE])
    assert region.frame == 0


@pytest.mark.parametrize("number", [0, 2, 4])
def test_the_first_the_middle_and_the_last_frame_are_searched(number: int) -> None:
    film = np.stack([frame("DOE^JANE" if seed == number else "", seed=seed) for seed in range(5)])
    assert [region.frame for region in find_text(film, [WHOLE])] == [number]


def test_a_large_image_is_made_smaller_and_the_place_stays_right() -> None:
    picture = np.zeros((300, 4300), np.uint8)
    ink = letters(picture, "DOE^JANE", 3900, 100, 60)
    (region,) = find_text(picture[None].astype(np.float32), [Box(0, 0, 4299, 299)])
    assert covers(region, ink)


@pytest.mark.parametrize(
    "box",
    [Box(5, 5, 5, 5), Box(0, 7, 319, 7), Box(9, 0, 9, 239), Box(400, 0, 500, 10), Box(-9, -9, -1, -1), Box(9, 9, 3, 3)],
    ids=["pixel", "row", "column", "outside", "before", "empty"],
)
def test_odd_regions_hold_no_text(box: Box) -> None:
    assert find_text(frame()[None], [box]) == []


def test_a_flat_image_holds_no_text() -> None:
    assert find_text(np.full((1, 50, 60), 7, np.float32), [Box(0, 0, 59, 49)]) == []


def test_the_refusal_says_where_and_what_to_do_and_never_what() -> None:
    with pytest.raises(UnreadableImage, match=r"reviewed_regions\.csv under sha256 aa") as refused:
        refuse_text(frame("DOE^JANE")[None], [WHOLE], "aa", "a.dcm")
    assert "found 1 line at columns" in refused.value.reason and "of frame 1" in refused.value.reason
    assert "doe" not in refused.value.reason.lower() and "jane" not in refused.value.reason.lower()
    refuse_text(frame()[None], [WHOLE], "aa", "a.dcm")


def test_a_refusal_lists_five_lines_and_counts_the_others() -> None:
    picture = speckle(480, 320)
    for number in range(8):
        letters(picture, f"Line of text {number}", 40, 20 + 55 * number)
    with pytest.raises(UnreadableImage, match="found 8 lines") as refused:
        refuse_text(picture[None].astype(np.float32), [Box(0, 0, 319, 479)], "aa", "a.dcm")
    assert refused.value.reason.count("columns") == 5 and "and 3 more" in refused.value.reason


def test_nothing_is_fetched_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    text_search._reader.cache_clear()
    assert len(find_text(frame("DOE^JANE")[None], [WHOLE])) == 1 and find_text(frame()[None], [WHOLE]) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime"])
def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    text_search._reader.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    for ask in (require_reader, reader_versions, lambda: find_text(frame()[None], [WHOLE])):
        with pytest.raises(StepError, match=r"the extra `ocr`.*make setup.*find_text"):
            ask()


def test_the_packages_are_loaded_only_where_text_is_looked_for() -> None:
    script = (
        "import json, sys; import components.ingest;"
        "print(json.dumps([n for n in ('rapidocr', 'onnxruntime', 'cv2') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_versions_of_what_reads_are_told() -> None:
    assert len(reader_versions()) == 3 and all(part[0].isdigit() for part in reader_versions())
