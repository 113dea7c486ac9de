"""Frame headers that JPEG decoders choke on: libjpeg never came back from one of no lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import JPEGBaseline8Bit, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from components.dicom.codestreams import check_frames, jpeg_header
from components.dicom.read import read_dicom
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, shapes, write_dicom

REAL = Path(str(files("data_store"))) / "data"
FUZZ = """
import _libjpeg
import numpy as np
from pathlib import Path
from components.dicom.codestreams import jpeg_header
from tests.dicom.test_codestreams import real_streams

random, streams = np.random.default_rng(7), [stream for stream in real_streams() if len(stream[0]) < 50_000]
passed = refused = 0
for number in range(1000):
    stream, size = streams[number % len(streams)]
    mutated = bytearray(stream)
    for at in random.integers(2, max(3, stream.find(bytes([255, 218]))), 2):
        mutated[at] = random.choice([0, 1, 255, random.integers(256), mutated[at] ^ 1 << random.integers(8)])
    try:
        honest = jpeg_header(bytes(mutated))[:2] == size
    except ValueError:
        honest = False
    if honest:
        _libjpeg.decode(bytes(mutated), 0, as_array=True)
    passed, refused = passed + honest, refused + (not honest)
print(passed, refused)
"""
LINES = 5  # bytes from the marker of a frame header to its number of lines


def jpeg(rows: int = 20, columns: int = 12, **options: object) -> bytes:
    stream = BytesIO()
    Image.fromarray((shapes(rows, columns) * 255).astype(np.uint8)).save(stream, "JPEG", **options)
    return stream.getvalue()


def without_lines(stream: bytes, marker: bytes) -> bytes:
    at = stream.index(marker) + LINES
    return stream[:at] + b"\0\0" + stream[at + 2 :]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"x" * 999}, {"restart_marker_rows": 1}])
def test_the_size_is_found_behind_whatever_stands_before_the_frame_header(options: dict[str, object]) -> None:
    assert jpeg_header(jpeg(20, 12, **options))[:2] == (20, 12)
    filled = jpeg().replace(b"\xff\xc0", b"\xff\xff\xff\xc0")
    assert jpeg_header(filled)[:2] == (20, 12)


def real_streams() -> Iterator[tuple[bytes, tuple[int, int]]]:
    """JPEG and JPEG-LS frames, with the rows and columns that their images have."""
    for path in sorted(REAL.glob("*.dcm")):
        image = dcmread(path, force=True)
        if image.file_meta.get("TransferSyntaxUID") in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
            frames = int(image.get("NumberOfFrames") or 1)
            for stream in generate_frames(image.PixelData, number_of_frames=frames):
                yield stream, (image.Rows, image.Columns)


def test_every_real_jpeg_is_as_large_as_its_image() -> None:
    seen = [jpeg_header(stream)[:2] == size for stream, size in real_streams()]
    assert len(seen) > 20 and all(seen)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"", "no JPEG stream"),
        (b"\xff\xd8", "expected a JPEG marker"),
        (b"\xff\xd8junk" + jpeg()[2:], "expected a JPEG marker"),
        (b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2000 + jpeg()[2:], "first 1000"),
        (b"\xff\xd8\xff\xfe\x00\x01" + jpeg()[2:], "claims 1 bytes"),
        (jpeg()[:40], "claims"),
        (jpeg().replace(b"\xff\xc0", b"\xff\xde"), "found the marker FFDE"),
        (jpeg().replace(b"\xff\xc0\x00\x0b", b"\xff\xc0\x00\x0e"), "does not fit its components"),
        (without_lines(jpeg(), b"\xff\xc0"), "says 0 x 12 pixels"),
    ],
)
def test_a_header_that_says_no_size_is_refused(stream: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        jpeg_header(stream)


def test_a_frame_of_no_lines_is_refused_before_its_decoder_sees_it(tmp_path: Path) -> None:
    """In a process of its own: what hangs in libjpeg lets no timeout of this one through."""
    broken = bytearray(Path(str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm"))).read_bytes())
    broken[1556] = 0  # of two bytes that say 64
    (tmp_path / "jls.dcm").write_bytes(broken)
    image = dicom(np.zeros((20, 12), np.uint8))
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.PixelData = encapsulate([without_lines(jpeg(), b"\xff\xc0")])
    write_dicom(tmp_path / "jpeg.dcm", image)
    for name in ("jls.dcm", "jpeg.dcm"):
        read = f"from pathlib import Path; from components.dicom.read import read_dicom; read_dicom(Path({name!r}))"
        command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {read}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert "frame 1 is broken: its JPEG frame header says 0 x" in done.stderr


def test_no_mutated_header_that_is_let_through_holds_up_its_decoder() -> None:
    """None of 68,880 that were let through, of a hundred thousand of another seed, did either."""
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {FUZZ}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    passed, refused = map(int, done.stdout.split())
    assert passed > 300 and refused > 100


def test_what_is_checked_is_what_is_decoded_whichever_table_says_where_it_lies(tmp_path: Path) -> None:
    image = dicom(np.zeros((2, 20, 12), np.uint8), "US")
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    good = jpeg()
    frames = encapsulate_extended([good, jpeg(40, 24)])
    image.PixelData, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = frames
    with pytest.raises(ValueError, match="frame 2 is 40 x 24, its header says 20 x 12"):
        check_frames(image)
    image.PixelData, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = encapsulate_extended([good, good])
    check_frames(image)
    image.PixelData = encapsulate([good, good[: len(good) // 2]])
    del image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths
    with pytest.raises(UnreadableImage, match="frame 2 is truncated"):
        read_dicom(write_dicom(tmp_path / "cut.dcm", image))
