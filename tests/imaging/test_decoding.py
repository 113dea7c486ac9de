import struct

import pytest

from components.imaging.decoding import BROKEN, UnreadableImage


def test_an_image_that_cannot_be_read_is_told_with_its_file_and_the_reason() -> None:
    error = UnreadableImage("in.dcm", "no pixels")
    assert (str(error), error.name, error.reason) == ("in.dcm: no pixels", "in.dcm", "no pixels")


def test_what_broken_files_raise_is_told_from_a_want_of_memory() -> None:
    with pytest.raises(BROKEN):
        struct.unpack("<I", b"\0")
    assert not issubclass(MemoryError, BROKEN)
