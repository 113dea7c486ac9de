from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset

from components.dicom.burned_in import Box, clean, read_reviewed, regions_to_keep
from components.dicom.read import decode
from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom

KEEP = Box(2, 3, 7, 8)


def ultrasound(*regions: Box, **attributes: object) -> FileDataset:
    image = dicom(np.full((11, 13, 3), 200, np.uint8), "US", **attributes)
    image.SequenceOfUltrasoundRegions = [_region(box) for box in regions]
    return image


def _region(box: Box) -> Dataset:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box.x0, box.y0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box.x1, box.y1
    return region


def test_ultrasound_keeps_the_regions_its_machine_declares() -> None:
    assert regions_to_keep(ultrasound(KEEP), "aa", {}, "a.dcm") == [KEEP]


def test_a_persons_review_overrules_the_machine() -> None:
    assert regions_to_keep(ultrasound(KEEP), "aa", {"aa": [Box(0, 0, 1, 1)]}, "a.dcm") == [Box(0, 0, 1, 1)]


@pytest.mark.parametrize(
    "image",
    [
        ultrasound(),
        dicom(np.zeros((9, 9), np.uint16), "CT", BurnedInAnnotation="YES"),
        dicom(np.zeros((9, 9), np.uint16), "CR", SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
        dicom(np.zeros((9, 9, 3), np.uint8), "CR", Modality="XC"),
    ],
    ids=["ultrasound", "declared", "secondary capture", "photograph"],
)
def test_what_may_show_text_or_a_face_waits_for_a_person(image: FileDataset) -> None:
    with pytest.raises(UnreadableImage, match=r"reviewed_regions\.csv under sha256 aa"):
        regions_to_keep(image, "aa", {}, "a.dcm")


def test_other_images_keep_all_their_pixels() -> None:
    assert regions_to_keep(dicom(np.zeros((9, 9), np.uint16), "CT"), "aa", {}, "a.dcm") is None


WHOLE = Box(0, 0, 12, 10)


@pytest.mark.parametrize("said", [{"BurnedInAnnotation": "YES"}, {"BurnedInAnnotation": "NO"}, {}], ids=str)
@pytest.mark.parametrize("regions", [[WHOLE], [Box(0, 0, 50, 50)], [Box(0, 0, 12, 5), Box(0, 6, 12, 10)]], ids=str)
def test_regions_that_leave_nothing_out_tell_nothing(said: dict[str, object], regions: list[Box]) -> None:
    with pytest.raises(UnreadableImage, match="text may be burned in"):
        regions_to_keep(ultrasound(*regions, **said), "aa", {}, "a.dcm")
    assert regions_to_keep(ultrasound(*regions, **said), "aa", {"aa": [WHOLE]}, "a.dcm") == [WHOLE]


def test_a_region_short_of_the_image_by_a_line_leaves_nothing_out() -> None:
    image = dicom(np.zeros((200, 300), np.uint8), "US")
    image.SequenceOfUltrasoundRegions = [_region(Box(0, 0, 298, 198))]
    with pytest.raises(UnreadableImage, match="text may be burned in"):
        regions_to_keep(image, "aa", {}, "a.dcm")


def test_the_regions_of_an_ultrasound_count_whatever_its_modality_says() -> None:
    assert regions_to_keep(ultrasound(KEEP, Modality=""), "aa", {}, "a.dcm") == [KEEP]
    with pytest.raises(UnreadableImage, match="ultrasound"):
        regions_to_keep(ultrasound(Modality=""), "aa", {}, "a.dcm")


def test_a_region_without_a_corner_is_none() -> None:
    image = ultrasound(KEEP, Box(0, 0, 3, 3))
    image.SequenceOfUltrasoundRegions[1].RegionLocationMaxX1 = None
    assert regions_to_keep(image, "aa", {}, "a.dcm") == [KEEP]


def test_everything_outside_the_regions_is_blank_and_the_header_says_so() -> None:
    image = ultrasound(KEEP)
    clean(image, [KEEP], "a.dcm")
    pixels = decode(image, "a.dcm").pixels[0]
    assert (pixels[3:9, 2:8] == 200).all()
    assert pixels.sum() == 200 * 3 * 36
    assert image.BurnedInAnnotation == "NO"
    assert image.DeidentificationMethodCodeSequence[-1].CodeValue == "113101"


@pytest.mark.parametrize("photometric, darkest", [("MONOCHROME2", 10), ("MONOCHROME1", 90)])
def test_grey_is_blanked_dark_in_every_frame(photometric: str, darkest: int) -> None:
    stored = np.full((3, 11, 13), 50, np.uint8)
    stored[:, 5, 5], stored[:, 6, 6] = 10, 90
    image = dicom(stored, "US", PhotometricInterpretation=photometric)
    clean(image, [KEEP], "a.dcm")
    assert (image.pixel_array[:, 0, 0] == darkest).all()
    assert decode(image, "a.dcm").pixels[0, 0, 0] == 10


def test_a_palette_is_blanked_with_its_darkest_colour() -> None:
    image = dicom((np.arange(143).reshape(11, 13) % 4).astype(np.uint8), "US")
    image.PhotometricInterpretation = "PALETTE COLOR"
    for name in ("Red", "Green", "Blue"):
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(image, f"{name}PaletteColorLookupTableData", bytes([250, 90, 0, 40]))
    clean(image, [KEEP], "a.dcm")
    pixels = decode(image, "a.dcm").pixels[0]
    assert pixels[0].max() == 0 and pixels[4, 4].max() > 0


def test_an_image_kept_whole_keeps_its_encoding() -> None:
    image = ultrasound()
    before = image.PixelData, image.file_meta.TransferSyntaxUID
    clean(image, [Box(0, 0, 12, 10)], "a.dcm")
    assert (image.PixelData, image.file_meta.TransferSyntaxUID) == before


def test_regions_outside_the_image_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="no region"):
        clean(ultrasound(), [Box(50, 50, 60, 60)], "a.dcm")


def test_reviewed_regions_are_read_by_file_and_bad_lines_named(tmp_path: Path) -> None:
    path = tmp_path / "reviewed_regions.csv"
    assert read_reviewed(path) == {}
    path.write_text("sha256,x0,y0,x1,y1,note\nAA,1,2,3,4,left\naa,5,6,7,8,right\n")
    assert read_reviewed(path) == {"aa": [Box(1, 2, 3, 4), Box(5, 6, 7, 8)]}
    path.write_text("sha256,x0,y0,x1,y1,note\naa,1,2,x,4,\nbb,1,,3,4,\n")
    with pytest.raises(StepError, match=r"line 2.*line 3"):
        read_reviewed(path)
