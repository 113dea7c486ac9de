import errno
import resource
from collections.abc import Callable
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from components.dicom.burned_in import Box
from components.dicom.deidentify import Pseudonyms
from components.imaging.decoding import UnreadableImage
from components.sources.intake import Intake, Taken, _write, content_hash, take
from components.sources.items import DicomFile
from tests.drawing import dicom, shapes, write_dicom

NAME = "Mustermann^Erika"
GREY = (shapes(24, 40) * 255).astype(np.uint8)


def taken(folder: Path, image: FileDataset, reviewed: dict[str, list[Box]] | None = None) -> Taken:
    (folder / "staging").mkdir(parents=True)
    item = DicomFile("a.dcm", write_dicom(folder / "in" / "a.dcm", image))
    intake = Intake(folder / "staging", Pseudonyms(b"a salt for tests"), reviewed or {}, count(1))
    return take(item, "dicom:in", "super_resolution", intake)


def with_a_comment() -> FileDataset:
    stream = BytesIO()
    Image.fromarray(GREY).save(stream, "JPEG", comment=b"patient Mustermann, Erika")
    image = dicom(GREY, "CR", PatientName=NAME)
    image.PixelData, image.file_meta.TransferSyntaxUID = encapsulate([stream.getvalue()]), JPEGBaseline8Bit
    image["PixelData"].is_undefined_length = True
    return image


def with_text_behind_its_pixels() -> FileDataset:
    image = dicom(GREY, "CR", PatientName=NAME)
    image.PixelData += b"patient Mustermann, Erika "
    return image


def with_a_name_for_a_body_part() -> FileDataset:
    return dicom(GREY, "CR", PatientName=NAME, BodyPartExamined="MUSTERMANN")


@pytest.mark.parametrize("draw", [with_a_comment, with_text_behind_its_pixels, with_a_name_for_a_body_part])
def test_an_image_is_kept_and_what_hid_a_name_in_it_is_not(tmp_path: Path, draw: Callable[[], FileDataset]) -> None:
    result = taken(tmp_path, draw())
    assert result.image is not None, result.row.reason
    content = result.image.path.read_bytes().lower()
    assert b"mustermann" not in content and b"erika" not in content
    assert result.row.body_part == ""


@pytest.mark.parametrize(
    "image",
    [
        dicom(GREY, "US", Modality=""),
        dicom(GREY, "CT", ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]),
    ],
    ids=["ultrasound without a modality", "saved screen"],
)
def test_what_may_show_text_is_quarantined_until_a_person_has_looked(tmp_path: Path, image: FileDataset) -> None:
    waiting = taken(tmp_path / "1", image)
    assert waiting.image is None and "text may be burned in" in waiting.row.reason
    sha256 = waiting.row.reason.split()[-1]
    assert taken(tmp_path / "2", image, {sha256: [Box(0, 0, 39, 23)]}).image is not None


def test_one_value_changed_or_another_shape_is_other_content() -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    other = pixels.copy()
    other[0, 0, 0] += 1
    assert content_hash(pixels) == content_hash(pixels.copy())
    assert len({content_hash(pixels), content_hash(other), content_hash(pixels.reshape(1, 4, 3))}) == 3


def test_how_values_lie_in_memory_is_no_content() -> None:
    pixels = np.random.default_rng(0).random((2, 5, 7), np.float32)
    assert content_hash(np.asfortranarray(pixels)) == content_hash(pixels)


def test_a_value_that_cannot_be_written_is_the_files_fault_and_stays_unseen(tmp_path: Path) -> None:
    image = dicom(np.zeros((4, 5), np.uint16))
    image.Columns = 70707
    with pytest.raises(UnreadableImage, match=r"the attribute \(0028, ?0011\): expected a value that its VR") as error:
        _write(image, tmp_path / "a.dcm", "a.dcm")
    assert "70707" not in str(error.value)


def test_a_disk_without_room_is_no_fault_of_the_file(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            _write(dicom(np.zeros((100, 100), np.uint16)), tmp_path / "a.dcm", "a.dcm")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.errno == errno.EFBIG


def test_a_header_that_lies_where_pixels_should_is_a_row_and_no_end_of_the_run(tmp_path: Path) -> None:
    image = dicom(GREY, "CR", PatientName=NAME)
    image.PixelData = image.PixelData[:100] + b"Patient's name: Mustermann^Erika" + image.PixelData[132:]
    result = taken(tmp_path, image)
    assert result.image is None
    assert "its pixel data hold what its header says in PatientName" in result.row.reason
    assert "mustermann" not in result.row.reason.lower()
