from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.imaging.decoding import UnreadableImage
from components.serving.rendering import LONGEST_SIDE, rendered
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import PROJECT
from tests.imaging.test_picture_files import tiff

RENDER = """
import re, resource
from pathlib import Path
from components.serving.rendering import rendered

path = Path("derived.dcm")
held = 1024 * int(re.search(r"VmData:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_DATA, (held + 150 * 2**20,) * 2)
Path("shown.png").write_bytes(rendered(path, path, 3))
"""
RAMP = np.tile(np.arange(256, dtype=np.uint16) * 16, (8, 1))  # 0 to 4080; in HU 1024 less


def shown(path: Path, window_of: Path | None = None, number: int = 1) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(rendered(path, window_of or path, number)))).astype(int)


def test_the_window_of_the_header_is_the_one_shown(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "one.dcm", dicom(RAMP, WindowCenter=[976, 40], WindowWidth=[2000, 400]))
    picture = shown(path)[0]
    assert picture[0] == 0 and picture[-1] == 255 and (np.diff(picture) >= 0).all()
    assert picture[125] == pytest.approx(127.5, abs=1), "stored 2000 is the centre, 976 HU"
    assert picture[62] == pytest.approx(255 * (62 * 16 - 1000) / 2000, abs=1) or picture[62] == 0


def test_without_one_almost_all_values_are_shown(tmp_path: Path) -> None:
    picture = shown(write_dicom(tmp_path / "one.dcm", dicom(RAMP)))
    assert picture.min() == 0 and picture.max() == 255 and picture[0, 128] == pytest.approx(128, abs=2)


def test_where_more_is_darker_it_is_shown_so(tmp_path: Path) -> None:
    one, other = (
        shown(write_dicom(tmp_path / f"{kind}.dcm", dicom(RAMP, PhotometricInterpretation=kind)))
        for kind in ("MONOCHROME1", "MONOCHROME2")
    )
    assert (one + other == 255).all()


def test_both_are_shown_under_the_window_of_one(tmp_path: Path) -> None:
    dark, bright = (write_dicom(tmp_path / f"{n}.dcm", dicom((RAMP / n).astype(np.uint16))) for n in (4, 1))
    assert shown(dark).max() == 255
    assert shown(dark, bright).max() == pytest.approx(64, abs=2)


def test_colour_stays_colour_and_large_ones_are_made_smaller(tmp_path: Path) -> None:
    colour = np.zeros((20, 30, 3), np.uint8)
    colour[..., 0] = 200
    path = write_dicom(tmp_path / "colour.dcm", dicom(colour, "US"))
    assert (shown(path) == [200, 0, 0]).all()
    large = write_dicom(tmp_path / "large.dcm", dicom((shapes(100, 5000) * 255).astype(np.uint8)))
    assert shown(large).shape == (41, LONGEST_SIDE)


def test_padding_is_black_whichever_way_grey_runs(tmp_path: Path) -> None:
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        stored = np.tile(RAMP, (4, 1)) + 5
        stored[:4] = 0
        image = dicom(stored, "CR", PhotometricInterpretation=kind, PixelPaddingValue=0)
        picture = shown(write_dicom(tmp_path / "one.dcm", image))
        assert (picture[:4] == 0).all() and picture[4:].max() == 255


@pytest.mark.parametrize("size", [(2047, 3001), (4100, 4099), (9000, 300)])
def test_what_is_reduced_in_bands_is_the_whole_image_reduced(tmp_path: Path, size: tuple[int, int]) -> None:
    stored = (shapes(*size) * 4095).astype(np.uint16)
    path = write_dicom(tmp_path / "one.dcm", dicom(stored, "MR", WindowCenter=2048, WindowWidth=4096))
    whole = Image.fromarray(np.clip(stored * (255 / 4095), 0, 255).round().astype(np.uint8))
    whole.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    assert np.abs(shown(path) - np.asarray(whole).astype(int)).mean() < 0.5


def test_a_picture_whose_white_is_zero_is_shown_bright_where_it_is(tmp_path: Path) -> None:
    bright = (shapes(20, 30) * 65535).astype(np.uint16)
    (tmp_path / "in.tif").write_bytes(tiff(65535 - bright, 0))
    (tmp_path / "out.tif").write_bytes(tiff(bright, 1))
    assert (shown(tmp_path / "in.tif") == shown(tmp_path / "out.tif")).all()


def test_one_frame_of_a_file_that_is_larger_than_memory_may_be_is_shown(tmp_path: Path) -> None:
    """Three frames of 17,000 x 16,000, for the most part holes in the file; one alone is 1 GiB in float32."""
    rows, columns = 17_000, 16_000
    image = dicom(np.zeros((3, 8, 8), np.uint16), "US", WindowCenter=51, WindowWidth=100)
    image.Rows, image.Columns, image.PixelData = rows, columns, b""
    image.save_as(tmp_path / "derived.dcm")
    with (tmp_path / "derived.dcm").open("rb+") as handle:
        handle.seek(-4, 2)
        handle.write((3 * rows * columns * 2).to_bytes(4, "little"))
        handle.seek(2 * rows * columns * 2, 1)
        handle.write(np.full(rows * columns // 4, 100, "<u2").tobytes())  # a quarter of the last frame
        handle.truncate(handle.tell() + rows * columns * 2 * 3 // 4)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r}); {RENDER}"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    picture = np.asarray(Image.open(tmp_path / "shown.png")).astype(int)
    assert picture.shape == (LONGEST_SIDE, 1928)
    assert (picture[: LONGEST_SIDE // 4 - 1] == 255).all() and (picture[LONGEST_SIDE // 4 + 1 :] == 0).all()


def test_a_frame_that_is_not_there_is_told_from_one_that_is_broken(tmp_path: Path) -> None:
    film = write_dicom(tmp_path / "film.dcm", dicom(np.stack([RAMP] * 3), "US"))
    assert shown(film, number=3).shape == RAMP.shape
    with pytest.raises(IndexError):
        rendered(film, film, 4)
    picture = tmp_path / "picture.png"
    Image.fromarray(RAMP.astype(np.uint8)).save(picture)
    with pytest.raises(IndexError):
        rendered(picture, picture, 2)
    image = dicom(RAMP)
    image.PixelData = image.PixelData[:99]
    broken = write_dicom(tmp_path / "broken.dcm", image)
    with pytest.raises(UnreadableImage, match="pixels cannot be decoded"):
        rendered(broken, broken, 1)
