from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.handover import StepError
from components.natural_images.folder import Picture, UnusablePicture, paired, pictures, read_pair, read_picture
from tests.natural_pictures import colour, folder, write


def low_of(pixels: np.ndarray) -> np.ndarray:
    return pixels[::4, ::4].copy()


def test_pictures_of_inner_folders_are_met_too_and_hidden_files_are_not(tmp_path: Path) -> None:
    folder(tmp_path / "inner", 1)
    folder(tmp_path, 1, first=1, suffix=".JPG")
    (tmp_path / ".DS_Store").write_bytes(b"a file manager's")
    assert [one.name for one in pictures(tmp_path)] == ["inner/picture_0", "picture_1"]


def test_every_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    folder(tmp_path, 1)
    for name in ("scan.tiff", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(StepError, match=r"(?s)2 of the files.*notes\.txt.*scan\.tiff"):
        pictures(tmp_path)


@pytest.mark.parametrize("place", ["absent", "empty"])
def test_a_folder_without_pictures_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StepError, match=f"{place}: expected a folder of PNG or JPEG pictures"):
        pictures(tmp_path / place)


def test_a_low_resolution_picture_beside_its_original_is_its_twin(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"img_00{number}_SRF_4_HR.png", colour(40, 44, number))
        write(tmp_path / f"img_00{number}_SRF_4_LR.png", low_of(colour(40, 44, number)))
    found = paired(tmp_path, None, 4)
    assert [one.name for one in found] == ["img_001_SRF_4_HR", "img_002_SRF_4_HR"]
    assert [one.low and one.low.name for one in found] == ["img_001_SRF_4_LR.png", "img_002_SRF_4_LR.png"]


@pytest.mark.parametrize(
    ("high", "low"), [("baby.png", "baby.png"), ("baby.png", "babyx4.jpg"), ("b_HR.png", "b_LR.png")]
)
def test_twins_in_another_folder_go_by_their_names(tmp_path: Path, high: str, low: str) -> None:
    write(tmp_path / "HR" / high, colour(40, 44, 0))
    write(tmp_path / "LR" / low, low_of(colour(40, 44, 0)))
    assert [one.low for one in paired(tmp_path / "HR", tmp_path / "LR", 4)] == [tmp_path / "LR" / low]


def test_one_twin_missing_is_an_error_since_a_table_is_of_one_protocol(tmp_path: Path) -> None:
    folder(tmp_path / "HR", 3)
    write(tmp_path / "LR" / "picture_1.png", low_of(colour(71, 76, 1)))
    with pytest.raises(StepError, match=r"(?s)2 of the files.*picture_0\.png.*picture_2\.png"):
        paired(tmp_path / "HR", tmp_path / "LR", 4)


def test_without_any_twin_low_resolution_is_made_here(tmp_path: Path) -> None:
    (picture,) = paired(folder(tmp_path, 1), None, 4)
    low, high = read_pair(picture, 4)
    assert (tuple(low.shape), tuple(high.shape)) == ((3, 16, 18), (3, 64, 72))


@pytest.mark.parametrize("twin", [colour(9, 11, 0), colour(10, 11, 0)[..., 0]], ids=["size", "grey"])
def test_a_twin_that_does_not_fit_is_refused(tmp_path: Path, twin: np.ndarray) -> None:
    picture = Picture("a", write(tmp_path / "a.png", colour(41, 46, 0)), write(tmp_path / "ax4.png", twin))
    with pytest.raises(UnusablePicture, match=r"ax4\.png smaller by 4, \(3, 10, 11\), found"):
        read_pair(picture, 4)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_picture_is_read_as_it_looks(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(colour(21, 33, 0)).convert(mode)
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("RGB" if mode in ("RGB", "P") else "L"))
    found = read_picture(tmp_path / "a.png")
    assert torch.equal(found, torch.from_numpy(np.atleast_3d(expected).transpose(2, 0, 1).copy()))


@pytest.mark.parametrize("name", ["alpha.png", "deep.png", "print.jpg", "cut.png", "empty.jpg", "short.png"])
def test_what_is_no_8_bit_picture_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    image = Image.fromarray(colour(40, 40, 0))
    image.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(np.full((40, 40), 40000, np.uint16)).save(tmp_path / "deep.png")
    image.convert("CMYK").save(tmp_path / "print.jpg")
    (tmp_path / "cut.png").write_bytes((tmp_path / "alpha.png").read_bytes()[:300])
    (tmp_path / "short.png").write_bytes((tmp_path / "alpha.png").read_bytes()[:8])
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(UnusablePicture, match=r"^(expected 8 bits, grey or RGB, found|not a picture that can be read)"):
        read_picture(tmp_path / name)
