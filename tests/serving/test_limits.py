"""Small files that would be large: none of them may cost more memory than its limit."""

from __future__ import annotations

import subprocess
import sys
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import data_store
import numpy as np
import pydicom.data
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from components.dicom.read import read_dicom
from components.imaging.decoding import UnreadableImage
from components.serving import limits
from components.serving.limits import TooLarge
from components.serving.settings import Limits
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import PROJECT
from tests.serving.nodes import LIMITS

BOMB_SIDE = 20_000
GIB = 2**30
CHECK = """
import resource, sys
from pathlib import Path
from components.dicom.read import UnreadableImage
from components.serving import limits
from tests.serving.nodes import LIMITS

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    limits.check(Path(sys.argv[1]), LIMITS)
except UnreadableImage as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, file=sys.stderr)
"""


def checked(path: Path) -> tuple[str, int]:
    """What was said of it, and by how many bytes the peak of memory grew."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(path)], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout, int(done.stderr.splitlines()[-1])


def drawn(rows: int = 64, columns: int = 48) -> np.ndarray:
    return (shapes(rows, columns) * 255).astype(np.uint8)


def deflated(path: Path, content: bytes) -> Path:
    image = dicom(drawn())
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with path.open("wb") as handle:
        handle.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(handle, image.file_meta)
        handle.write(content)
    return path


def encoded(path: Path, frame: bytes, syntax: str, **header: int) -> Path:
    image = dicom(drawn(), **header)
    image.file_meta.TransferSyntaxUID = syntax
    image.PixelData = encapsulate([frame])
    image["PixelData"].VR = "OB"
    return write_dicom(path, image)


def test_a_zip_bomb_is_known_without_inflating_it(tmp_path: Path) -> None:
    squeezer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = b"\0" * 2**24
    bomb = b"".join(squeezer.compress(zeros) for _ in range(256)) + squeezer.flush()  # 4 GiB
    path = deflated(tmp_path / "bomb.dcm", bomb)
    assert path.stat().st_size < 2**23
    said, grown = checked(path)
    assert "inflates to more than the 67108864 bytes" in said
    assert grown < 64 * 2**20


def test_an_honest_deflated_image_passes(tmp_path: Path) -> None:
    limits.check(Path(str(get_testdata_file("image_dfl.dcm"))), LIMITS)
    path = tmp_path / "deflated.dcm"
    image = dicom(drawn())
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    limits.check(write_dicom(path, image), LIMITS)


def test_a_codestream_larger_than_its_header_is_known_before_it_is_decoded(tmp_path: Path) -> None:
    from openjpeg.utils import encode_array

    zeros = np.zeros((BOMB_SIDE, BOMB_SIDE), np.uint8)  # 1.6 GB, once decoded by openjpeg
    said, grown = checked(
        encoded(tmp_path / "j2k.dcm", encode_array(zeros, photometric_interpretation=2), JPEG2000Lossless)
    )
    assert f"frame 1 is {BOMB_SIDE} x {BOMB_SIDE}, its header says 64 x 48" in said
    assert grown < 128 * 2**20
    Image.fromarray(zeros).save(tmp_path / "zeros.jpg")
    said, grown = checked(encoded(tmp_path / "jpeg.dcm", (tmp_path / "zeros.jpg").read_bytes(), JPEGBaseline8Bit))
    assert f"frame 1 is {BOMB_SIDE} x {BOMB_SIDE}, its header says 64 x 48" in said
    assert grown < 128 * 2**20


def test_every_real_image_that_can_be_read_passes() -> None:
    shipped = [Path(pydicom.data.__file__).with_name("test_files"), Path(data_store.__file__).parent]
    paths = sorted(path for folder in shipped for path in folder.rglob("*.dcm"))
    refused = []
    for path in paths:
        try:
            limits.check(path, Limits(file_mib=2048.0, megapixels=150.0, frames=2000))
        except UnreadableImage as error:
            with suppress(UnreadableImage):
                read_dicom(path)
                refused.append(str(error))
    assert len(paths) > 100 and refused == []


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit])
def test_a_codestream_that_is_none_is_said_to_be(tmp_path: Path, syntax: str) -> None:
    with pytest.raises(UnreadableImage, match="pixels cannot be decoded"):
        limits.check(encoded(tmp_path / "none.dcm", b"no image at all " * 8 + b"\xff\xd9", syntax), LIMITS)


def test_what_its_header_claims_is_measured_before_it_is_believed(tmp_path: Path) -> None:
    billion = encoded(tmp_path / "billion.dcm", b"\0" * 64, RLELossless, Rows=32000, Columns=32000)
    said, grown = checked(billion)
    assert "32000" in said and grown < 64 * 2**20
    wide = write_dicom(tmp_path / "wide.dcm", dicom(drawn(8, 8), Rows=5000, Columns=5000))
    with pytest.raises(TooLarge, match="5000 x 5000 pixels, 20 million are taken"):
        limits.check(wide, LIMITS)
    film = write_dicom(tmp_path / "film.dcm", dicom(np.zeros((10_000, 4, 4), np.uint8), "US"))
    with pytest.raises(TooLarge, match="10000 frames, 200 are taken"):
        limits.check(film, LIMITS)


def test_a_file_that_is_too_large_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    with path.open("wb") as handle:
        handle.truncate(8 * GIB)
    said, grown = checked(path)
    assert f"{8 * GIB} bytes, 67108864 are taken" in said and grown < 64 * 2**20


def test_a_picture_is_measured_before_it_is_decoded(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((BOMB_SIDE, BOMB_SIDE), np.uint8)).save(tmp_path / "bomb.png")
    said, grown = checked(tmp_path / "bomb.png")
    assert "bomb.png: " in said and grown < 64 * 2**20
    with pytest.raises(UnreadableImage, match="not a PNG or TIFF"):
        (tmp_path / "none.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
        limits.check(tmp_path / "none.png", LIMITS)
    Image.fromarray(drawn()).save(tmp_path / "small.png")
    limits.check(tmp_path / "small.png", LIMITS)
    with pytest.raises(TooLarge, match="64 x 48 pixels, 0"):
        limits.check(tmp_path / "small.png", replace(LIMITS, megapixels=0.001))
