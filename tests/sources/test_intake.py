import errno
import resource
from pathlib import Path

import numpy as np
import pytest

from components.imaging.decoding import UnreadableImage
from components.sources.intake import _write, content_hash
from tests.drawing import dicom


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
