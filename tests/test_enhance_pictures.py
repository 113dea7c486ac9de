"""PNG and TIFF go in and come out; what is no such picture is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.enhance import enhance_file
from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from tests.enlarging import BICUBIC, by_hand, drawn


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("levels", "dtype"), [(255, np.uint8), (65535, np.uint16)])
def test_a_picture_keeps_its_kind_and_depth(tmp_path: Path, suffix: str, levels: int, dtype: type[np.generic]) -> None:
    stored = drawn(levels, dtype)
    Image.fromarray(stored).save(tmp_path / f"in{suffix}", dpi=(100, 100))
    enhance_file(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", BICUBIC)
    with Image.open(tmp_path / f"out{suffix}") as picture:
        sharp = np.asarray(picture)
        assert picture.info["dpi"] == pytest.approx((200, 200), rel=0.01)
        assert picture.format == {".png": "PNG", ".tif": "TIFF"}[suffix]
    assert (sharp.shape, sharp.dtype) == ((82, 106), dtype)
    assert np.abs(sharp.astype(float) - by_hand(stored)).mean() < levels / 30


def test_a_colour_picture_comes_out_in_colour_and_says_what_it_is(tmp_path: Path) -> None:
    stored = np.stack([drawn(200, np.uint8), drawn(100, np.uint8), drawn(20, np.uint8)], axis=-1)
    Image.fromarray(stored).save(tmp_path / "in.png")
    enhance_file(tmp_path / "in.png", tmp_path / "out.png", BICUBIC)
    with Image.open(tmp_path / "out.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (106, 82))
        assert "Research use only" in picture.info["Description"]


@pytest.mark.parametrize("mode", ["RGBA", "P", "1"])
def test_pictures_of_other_kinds_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (20, 20)).save(tmp_path / "in.png")
    with pytest.raises(StepError, match=r"in\.png: expected one page, grey of 8 or 16 bits"):
        enhance_file(tmp_path / "in.png", tmp_path / "out.png", BICUBIC)


def test_a_picture_does_not_become_dicom(tmp_path: Path) -> None:
    Image.new("L", (20, 20)).save(tmp_path / "in.png")
    with pytest.raises(StepError, match="same kind of file"):
        enhance_file(tmp_path / "in.png", tmp_path / "out.dcm", BICUBIC)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(UnreadableImage, match=r"in\.png"):
        enhance_file(tmp_path / "in.png", tmp_path / "out.png", BICUBIC)
