"""What is not sharpened, why, and that nothing is left of it."""

from __future__ import annotations

import errno
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from torch import nn

from benchmarks.mutations import mutated
from components.enhance import enhance_file
from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, write_dicom
from tests.enlarging import BICUBIC, drawn


def test_what_could_not_be_read_again_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """A sequence that is broken behind the pixels is copied; that nobody can read it shows only when it is read."""
    ((_, content),) = mutated(1, [1870])
    (tmp_path / "in.dcm").write_bytes(content)
    with pytest.raises(UnreadableImage, match="its header cannot be carried over"):
        enhance_file(tmp_path / "in.dcm", tmp_path / "out.dcm", BICUBIC)
    assert [path.name for path in tmp_path.iterdir()] == ["in.dcm"]


def test_a_taken_destination_is_left_alone_unless_overwriting_is_allowed(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(4000), "MR"))
    taken = tmp_path / "out.dcm"
    taken.write_text("mine")
    with pytest.raises(StepError, match=r"out\.dcm: expected no file there yet"):
        enhance_file(source, taken, BICUBIC)
    assert taken.read_text() == "mine"
    enhance_file(source, taken, BICUBIC, overwrite=True)
    assert dcmread(taken).Rows == 82


def test_the_source_is_never_replaced(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(4000), "MR"))
    with pytest.raises(StepError, match="other than the source"):
        enhance_file(source, source, BICUBIC, overwrite=True)


def test_what_cannot_be_read_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    write_dicom(broken, dicom(drawn(4000), "MR"))
    broken.write_bytes(broken.read_bytes()[:-500])
    with pytest.raises(UnreadableImage, match=r"broken\.dcm"):
        enhance_file(broken, tmp_path / "out.dcm", BICUBIC)
    with pytest.raises(StepError, match=r"nowhere\.dcm: expected an image file"):
        enhance_file(tmp_path / "nowhere.dcm", tmp_path / "out.dcm", BICUBIC)
    assert list(tmp_path.iterdir()) == [broken]


@pytest.mark.parametrize(
    ("element", "broken", "reason"),
    [
        (b"\x08\x00\x16\x00UI", b"\x08\x00\x16\x00UM", r"SOP Class UID .* found the value representation UM"),
        (b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00CC", r"Modality .* found the value representation CC"),
    ],
)
def test_a_header_that_cannot_be_read_is_the_images_fault(
    tmp_path: Path, element: bytes, broken: bytes, reason: str
) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(255)))
    source.write_bytes(source.read_bytes().replace(element, broken, 1))
    with pytest.raises(UnreadableImage, match=rf"in\.dcm: {reason}"):
        enhance_file(source, tmp_path / "out.dcm", BICUBIC)
    assert [path.name for path in tmp_path.iterdir()] == ["in.dcm"]


def test_a_header_that_cannot_be_carried_over_is_the_images_fault(tmp_path: Path) -> None:
    region = Dataset()
    region.RegionLocationMaxX1 = 2**32 - 1  # four times as much does not fit any more
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(255), "US", SequenceOfUltrasoundRegions=[region]))
    with pytest.raises(UnreadableImage, match=r"in\.dcm: its header cannot be carried over: "):
        enhance_file(source, tmp_path / "out.dcm", BICUBIC)
    assert [path.name for path in tmp_path.iterdir()] == ["in.dcm"]


def test_a_file_that_the_disk_has_no_room_for_is_the_machines(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(4096)))
    enhance_file(source, tmp_path / "out.dcm", BICUBIC)
    pixels, whole = len(dcmread(tmp_path / "out.dcm").PixelData), (tmp_path / "out.dcm").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (pixels // 2, pixels, (pixels + whole) // 2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(OSError, match="File too large") as error:
                enhance_file(source, tmp_path / "out.dcm", BICUBIC, overwrite=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert error.value.errno == errno.EFBIG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.dcm", "out.dcm"]


def test_what_was_sharpened_is_not_sharpened_again(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(4096)))
    enhance_file(source, tmp_path / "once.dcm", BICUBIC)
    with pytest.raises(StepError, match=r"once\.dcm: expected an image that is not sharpened yet, .* sr-generator 3\."):
        enhance_file(tmp_path / "once.dcm", tmp_path / "twice.dcm", BICUBIC)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.dcm", "once.dcm"]
    scanner = dicom(drawn(4096), ContributingEquipmentSequence=[Dataset()])
    scanner.ContributingEquipmentSequence[0].Manufacturer = "somebody else"
    enhance_file(write_dicom(tmp_path / "theirs.dcm", scanner), tmp_path / "derived.dcm", BICUBIC)


def test_an_image_without_an_honest_enlargement_is_refused(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(4000), "MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.1"))
    with pytest.raises(StepError, match=r"in\.dcm: expected an image of CR.* RT Image Storage"):
        enhance_file(source, tmp_path / "out.dcm", BICUBIC)


class Overflowing(nn.Upsample):
    """Answers with what is no number, in its last pixel."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        sharp = super().forward(image)
        sharp[..., -1, -1] = torch.nan
        return sharp


@pytest.mark.parametrize("name", ["grey.dcm", "colour.dcm", "padded.dcm", "picture.png"])
def test_what_is_no_number_is_not_stored_as_one(tmp_path: Path, name: str) -> None:
    stored = drawn(200, np.uint8)
    if name == "picture.png":
        Image.fromarray(stored).save(tmp_path / name)
    else:
        padding = {"PixelPaddingValue": 0} if name == "padded.dcm" else {}
        colour = np.stack([stored] * 3, axis=-1)
        write_dicom(tmp_path / name, dicom(colour if name == "colour.dcm" else stored, "US", **padding))
    broken = replace(BICUBIC, network=Overflowing(scale_factor=2, mode="bicubic"))
    with pytest.raises(StepError, match=rf"{name}: expected numbers from the network sr-generator, version 3, found"):
        enhance_file(tmp_path / name, tmp_path / f"out-{name}", broken)
    assert [path.name for path in tmp_path.iterdir()] == [name]
