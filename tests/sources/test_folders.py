from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from components.imaging.picture_files import read_pixels
from components.sources import dicom_folder, pictures, pydicom_data
from components.sources.items import Picture
from components.sources.registry import KINDS, open_source
from tests.drawing import dicom, write_dicom
from tests.settings import small

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7)


def picture(path: Path, pixels: np.ndarray = GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("source", ["gallery:x", "dicom", "dicom:", "simulated:x", "pydicom-data:x", ""])
def test_a_source_that_makes_no_sense_is_refused_with_what_was_expected(source: str) -> None:
    with pytest.raises(StepError, match="expected"):
        open_source(source, small())


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"pydicom-data", "simulated"}))
def test_a_place_without_anything_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="expected"):
        open_source(f"{kind}:{tmp_path / 'nowhere'}", small())


def test_the_default_source_is_the_data_and_nothing_else_of_its_package() -> None:
    names = [item.name for item in pydicom_data.items("", small())]
    assert names == sorted(names)
    assert "693_UNCR.dcm" in names
    assert not [name for name in names if name.endswith(".py")]


def test_a_dicom_folder_gives_every_file_below_it_with_its_label(tmp_path: Path) -> None:
    write_dicom(tmp_path / "b" / "2.dcm", dicom(GREY, "CR"))
    write_dicom(tmp_path / "a.dcm", dicom(GREY, "CR"))
    (tmp_path / "notes.txt").write_text("not an image, but it was there")
    (tmp_path / "labels.csv").write_text("file,label\nb/2.dcm,effusion\n")
    items = dicom_folder.items(str(tmp_path), small())
    assert [(item.name, item.label) for item in items] == [("a.dcm", ""), ("b/2.dcm", "effusion"), ("notes.txt", "")]


def test_labels_of_missing_files_and_wrong_columns_are_refused(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", dicom(GREY, "CR"))
    (tmp_path / "labels.csv").write_text("file,label\nz.dcm,effusion\n")
    with pytest.raises(StepError, match=r"labels\.csv: expected the files it names, missing 1 of them: see line 2\.$"):
        dicom_folder.items(str(tmp_path), small())
    (tmp_path / "labels.csv").write_text("name,class\na.dcm,effusion\n")
    with pytest.raises(StepError, match="missing file, label"):
        dicom_folder.items(str(tmp_path), small())


def test_folders_of_pictures_are_classes(tmp_path: Path) -> None:
    picture(tmp_path / "ill" / "deep" / "2.png")
    picture(tmp_path / "well" / "1.png")
    picture(tmp_path / "0.png")
    items = list(pictures.items(str(tmp_path), small()))
    assert [(i.name, i.label) for i in items] == [("0.png", ""), ("ill/deep/2.png", "ill"), ("well/1.png", "well")]
    assert len({item.patient for item in items}) == 3
    np.testing.assert_array_equal(items[0].read().pixels[0], GREY)


def test_a_table_of_pictures_names_label_patient_and_modality(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        picture(tmp_path / name)
    table = tmp_path / "list.csv"
    table.write_text("file,label,patient_id,modality\n2.png,ill,P7,CR\n1.png,well,,\n")
    items = list(pictures.items(str(table), small()))
    told = [(i.name, i.label, i.patient, i.modality) for i in items]
    assert told == [("2.png", "ill", "P7", "CR"), ("1.png", "well", "1.png", "OT")]


def test_a_table_that_names_missing_pictures_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("file,label\nz.png,ill\n")
    with pytest.raises(StepError, match=r"list\.csv: expected the files it names, missing 1 of them: see line 2\.$"):
        pictures.items(str(table), small())


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    content = read_pixels(picture(tmp_path / "a.png", GREY.astype(np.uint16) * 1800), "a.png")
    assert (content.bits, content.pixels.max()) == (16, 34 * 1800)


def test_colour_pages_and_palettes_have_the_projects_shape(tmp_path: Path) -> None:
    colour = picture(tmp_path / "c.png", np.dstack([GREY] * 3))
    assert read_pixels(colour, "c").pixels.shape == (1, 5, 7, 3)
    Image.fromarray(np.dstack([GREY] * 3)).convert("P").save(tmp_path / "p.png")
    assert read_pixels(tmp_path / "p.png", "p").pixels.shape == (1, 5, 7, 3)
    pages = [Image.fromarray(GREY + n) for n in range(3)]
    pages[0].save(tmp_path / "s.tiff", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_pixels(tmp_path / "s.tiff", "s").pixels, [GREY, GREY + 1, GREY + 2])
    picture(tmp_path / "j.jpg")
    assert read_pixels(tmp_path / "j.jpg", "j").pixels.shape == (1, 5, 7)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_broken_picture_is_refused_by_name(tmp_path: Path, share: float) -> None:
    path = picture(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    (item,) = pictures.items(str(tmp_path), small())
    assert isinstance(item, Picture)
    with pytest.raises(UnreadableImage, match=r"cut\.png"):
        item.read()
