from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.handover import StepError
from components.imaging import picture_files as module
from components.imaging.decoding import UnreadableImage
from components.imaging.picture_files import Picture, picture_size, read_picture, read_pixels, write_picture
from tests.drawing import shapes
from tests.flows.conftest import PROJECT

MIB = 2**20
ENLARGE = """
import resource, sys
from pathlib import Path
from torch import nn
from components.enhance import enhance_file
from components.learning.inference.generator import Generator

network = nn.Upsample(scale_factor=4, mode="nearest")
generator = Generator(network, 4, "sr-generator", "3", (0.1, 99.9))
enhance_file(Path("warm" + sys.argv[1]), Path("warmed" + sys.argv[1]), generator)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
enhance_file(Path("in" + sys.argv[1]), Path("out" + sys.argv[1]), generator)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def drawn(rows: int, columns: int, kind: str) -> NDArray[Any]:
    unit = shapes(rows, columns)
    if kind == "grey16":
        return (unit * 65535).astype(np.uint16)
    grey = (unit * 255).astype(np.uint8)
    return grey if kind == "grey8" else np.stack([grey, grey // 2, 255 - grey], axis=-1)


def tiff(stored: NDArray[Any], photometric: int) -> bytes:
    """Grey, little endian, one strip; Pillow writes no picture whose white is zero."""
    data, bits = stored.astype(stored.dtype.newbyteorder("<")).tobytes(), stored.dtype.itemsize * 8
    rows, columns = stored.shape
    tags = [(256, columns), (257, rows), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, rows)]
    entries = b"".join(struct.pack("<HHLHH", tag, 3, 1, value, 0) for tag, value in tags)
    entries += struct.pack("<HHLL", 279, 4, 1, len(data))
    head = struct.pack("<2sHL", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(tags) + 1) + entries + b"\0" * 4


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", ["grey8", "grey16", "colour"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (300, 7), (5, 400)])
def test_what_is_written_in_bands_is_read_as_it_was(
    tmp_path: Path, suffix: str, kind: str, shape: tuple[int, int]
) -> None:
    fine = drawn(shape[0] * 2, shape[1] * 2, kind)
    bands = (fine[start : start + 6] for start in range(0, len(fine), 6))
    like = Picture(fine[::2, ::2], (100.0, 50.0))
    assert write_picture(tmp_path / f"out{suffix}", like, 2, bands, "what it is") == fine.shape[:2]
    again = read_picture(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.values, fine)
    assert again.values.dtype == fine.dtype and again.dots_per_inch == pytest.approx((200, 100), rel=1e-3)
    with Image.open(tmp_path / f"out{suffix}") as picture:
        said = picture.info["Description"] if suffix == ".png" else picture.tag_v2[270]
        picture.load()
    assert said == "what it is"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_white_may_be_zero_or_the_largest_value(tmp_path: Path, dtype: type[np.integer[Any]], photometric: int) -> None:
    bright, largest = drawn(20, 30, f"grey{np.dtype(dtype).itemsize * 8}"), np.iinfo(dtype).max
    stored = bright if photometric else largest - bright
    (tmp_path / "in.tif").write_bytes(tiff(stored, photometric))
    picture = read_picture(tmp_path / "in.tif")
    np.testing.assert_array_equal(picture.values, bright)
    write_picture(tmp_path / "out.tif", picture, 1, [picture.values], "")
    np.testing.assert_array_equal(read_picture(tmp_path / "out.tif").values, bright)


def test_the_depth_is_told_by_the_files_own_word_and_not_by_chance(tmp_path: Path) -> None:
    """Pillow's description of a strip has its place in the file in it, which may have a 16 in it."""
    random = np.random.default_rng(0)
    for side in range(20, 140):
        stored = random.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(stored).save(tmp_path / "in.tif", compression="tiff_lzw")
        np.testing.assert_array_equal(read_picture(tmp_path / "in.tif").values, stored)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def test_colour_of_sixteen_bits_is_refused_and_not_cut(tmp_path: Path) -> None:
    header = struct.pack(">LLBBBBB", 4, 3, 16, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(3 * (1 + 4 * 3 * 2)))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (tmp_path / "in.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(StepError, match="of mode RGB and 16 bits"):
        read_picture(tmp_path / "in.png")


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_file_that_is_cut_anywhere_is_refused_and_nothing_else_happens(tmp_path: Path, suffix: str) -> None:
    """Pillow raises a `TypeError` where the second page of a TIFF is cut off."""
    path, picture = tmp_path / f"in{suffix}", Image.fromarray(drawn(11, 7, "colour"))
    picture.save(path, save_all=suffix == ".tif", append_images=[picture])
    whole, refused = path.read_bytes(), 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        for read in (read_picture, lambda path: read_pixels(path, path.name)):
            try:
                read(path)
            except (UnreadableImage, StepError):
                refused += 1
    assert refused > len(whole)


def test_pages_of_several_sizes_are_no_frames(tmp_path: Path) -> None:
    first, second = (Image.fromarray(drawn(rows, 30, "grey8")) for rows in (20, 21))
    first.save(tmp_path / "in.tif", save_all=True, append_images=[second])
    with pytest.raises(UnreadableImage, match=r"in: its pages differ in size"):
        read_pixels(tmp_path / "in.tif", "in")


def test_more_values_than_memory_is_meant_for_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(drawn(20, 30, "grey8")).save(tmp_path / "in.png")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    assert picture_size(tmp_path / "in.png") == (20, 30)
    with pytest.raises(UnreadableImage, match="claims more than 1799 values"):
        module._decode(tmp_path / "in.png", "in.png", most_values=1799)


def test_a_tiff_has_longer_offsets_where_short_ones_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)
    for most, kind in ((2 * values.nbytes, 42), (values.nbytes - 1, 43)):
        monkeypatch.setattr(module, "LARGEST_TIFF", most)
        write_picture(tmp_path / "out.tif", Picture(values, None), 1, iter([values[:5], values[5:]]), "")
        assert (tmp_path / "out.tif").read_bytes()[:3] == b"II" + bytes([kind])
        with Image.open(tmp_path / "out.tif") as picture:
            assert (np.asarray(picture) == values).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_memory_is_bounded_by_what_comes_in_and_not_by_what_goes_out(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / f"warm{suffix}")
    Image.new("RGB", (3000, 2000)).save(tmp_path / f"in{suffix}", compression="tiff_deflate")
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r}); {ENLARGE}", suffix]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 180 * MIB, "275 MiB is the result alone"
    with Image.open(tmp_path / f"out{suffix}") as picture:
        assert picture.size == (12000, 8000)
