from __future__ import annotations

import errno
import resource
import subprocess
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from torch import nn

from components.dicom.read import open_dicom
from components.enhance import enhance_file
from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from components.learning.inference import tiling
from components.learning.inference.generator import Generator
from components.learning.models import build
from tests.drawing import dicom, shapes, write_dicom
from tests.programs import needed

REAL = Path(str(files("data_store"))) / "data"
BICUBIC = Generator(nn.Upsample(scale_factor=2, mode="bicubic"), 2, "sr-generator", "3", (0.1, 99.9))


def enhanced(tmp_path: Path, image: FileDataset, generator: Generator = BICUBIC) -> FileDataset:
    source = write_dicom(tmp_path / "in.dcm", image)
    enhance_file(source, tmp_path / "out.dcm", generator, overwrite=True)
    return dcmread(tmp_path / "out.dcm")


def drawn(levels: int, dtype: type[np.generic] = np.uint16, lowest: int = 0) -> NDArray[Any]:
    return (shapes(41, 53) * levels + lowest).round().astype(dtype)


def by_hand(stored: NDArray[Any]) -> NDArray[Any]:
    """Each pixel as four: what the nearest neighbour gives, and smooth images resemble."""
    return stored.repeat(2, -2).repeat(2, -1)


def test_sixteen_bits_go_in_and_come_out(tmp_path: Path) -> None:
    stored = drawn(60000)
    image = enhanced(tmp_path, dicom(stored, "CR"))
    sharp = image.pixel_array
    assert (sharp.shape, sharp.dtype, image.BitsStored) == ((82, 106), np.uint16, 16)
    assert np.abs(sharp.astype(float) - by_hand(stored)).mean() < 2000
    assert len(np.unique(sharp)) > 1000


def test_values_never_leave_the_bits_that_are_stored(tmp_path: Path) -> None:
    stored = np.where(shapes(40, 40) > 0.3, 4095, 0).astype(np.uint16)
    sharp = enhanced(tmp_path, dicom(stored, "CR", BitsStored=12, HighBit=11)).pixel_array
    assert (sharp.min(), sharp.max()) == (0, 4095)


def test_signed_values_stay_signed(tmp_path: Path) -> None:
    stored = drawn(3000, np.int16, lowest=-1024)
    image = enhanced(tmp_path, dicom(stored, "CT"))
    assert image.PixelRepresentation == 1
    assert image.pixel_array.min() < -900
    assert np.abs(image.pixel_array.astype(float) - by_hand(stored)).mean() < 100


def test_padding_stays_padding_and_nothing_else_becomes_it(tmp_path: Path) -> None:
    stored = drawn(3000, np.int16, lowest=-1024)
    stored[:5] = -2000
    sharp = enhanced(tmp_path, dicom(stored, "CT", PixelPaddingValue=-2000)).pixel_array
    assert (sharp[:10] == -2000).all()
    assert sharp[10:].min() > -1600


def test_an_image_pixel_that_meets_a_padding_value_takes_a_real_one(tmp_path: Path) -> None:
    stored = drawn(1000, np.uint16, lowest=100)
    stored[:5], stored[20, 20:40] = 0, 1
    sharp = enhanced(tmp_path, dicom(stored, "MR", PixelPaddingValue=0)).pixel_array
    assert (sharp[10:] > 0).all()
    assert (sharp[:10] == 0).all()


def test_a_monochrome1_image_keeps_its_polarity(tmp_path: Path) -> None:
    stored = drawn(4000)
    plain = enhanced(tmp_path, dicom(stored, "CR")).pixel_array.astype(int)
    mirrored = enhanced(tmp_path, dicom(4000 - stored, "CR", PhotometricInterpretation="MONOCHROME1"))
    assert mirrored.PhotometricInterpretation == "MONOCHROME1"
    inside = (plain > 0) & (plain < 4000)
    assert np.abs(4000 - mirrored.pixel_array.astype(int) - plain)[inside].max() <= 1


def test_every_frame_is_sharpened_on_its_own_and_heard_of(tmp_path: Path) -> None:
    stored = np.stack([drawn(200, np.uint8), drawn(50, np.uint8), drawn(120, np.uint8)])
    heard: list[tuple[int, int]] = []
    source = write_dicom(tmp_path / "in.dcm", dicom(stored, "US"))
    record = enhance_file(source, tmp_path / "out.dcm", BICUBIC, on_frame=lambda *done: heard.append(done))
    film = dcmread(tmp_path / "out.dcm").pixel_array
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert (record.frames, record.rows, record.columns) == (3, 82, 106)
    for number, frame in enumerate(stored):
        alone = enhanced(tmp_path, dicom(frame, "US")).pixel_array
        np.testing.assert_array_equal(film[number], alone)


def test_colour_keeps_its_hue(tmp_path: Path) -> None:
    stored = np.stack([drawn(200, np.uint8), drawn(100, np.uint8), drawn(20, np.uint8)], axis=-1)
    image = enhanced(tmp_path, dicom(stored, "US"))
    assert image.PhotometricInterpretation == "RGB"
    assert np.abs(image.pixel_array.astype(float) - stored.repeat(2, 0).repeat(2, 1)).mean() < 8


def test_the_record_names_the_model_and_the_instance(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(4000), "MR"))
    record = enhance_file(source, tmp_path / "deep" / "out.dcm", BICUBIC)
    again = enhance_file(source, tmp_path / "again.dcm", BICUBIC)
    assert (record.model_name, record.model_version, record.scale) == ("sr-generator", "3", 2)
    assert record.sop_instance_uid == dcmread(record.destination).SOPInstanceUID == again.sop_instance_uid


def test_small_tiles_give_nearly_the_same_image(tmp_path: Path) -> None:
    source = write_dicom(tmp_path / "in.dcm", dicom(drawn(4000), "MR"))
    enhance_file(source, tmp_path / "whole.dcm", BICUBIC)
    enhance_file(source, tmp_path / "tiled.dcm", BICUBIC, tile=32)
    whole, tiled = (dcmread(tmp_path / name).pixel_array.astype(int) for name in ("whole.dcm", "tiled.dcm"))
    assert np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("shape", [(301, 203), (149, 257), (17, 391)])
def test_tiles_of_any_size_give_the_same_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], half: bool
) -> None:
    """What `enhance_file` states, for a deep network, 16 bits and odd sizes; one tile is the whole image."""
    monkeypatch.setattr(tiling, "half_is_fast", lambda _: half)
    torch.manual_seed(7)
    network = build({"name": "rrdb", "channels": 16, "blocks": 3, "growth_channels": 8}, scale=4)
    generator = Generator(network, 4, "sr-generator", "3", (0.1, 99.9))
    source = write_dicom(tmp_path / "in.dcm", dicom((shapes(*shape) * 60000).astype(np.uint16)))
    made = []
    for tile in (400, 256, 160, 128):
        enhance_file(source, tmp_path / f"{tile}.dcm", generator, tile=tile)
        made.append(dcmread(tmp_path / f"{tile}.dcm").pixel_array.astype(float) / 60000)
        assert made[-1].shape == (4 * shape[0], 4 * shape[1])
    differences = [np.abs(other - made[0]) for other in made[1:]]
    largest, mean_square = (1e-2, 5e-4) if half else (1e-5 + 1 / 60000, 1 / 60000)
    assert max(one.max() for one in differences) <= largest
    assert max(np.sqrt((one**2).mean()) for one in differences) <= mean_square


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
        (b"\x08\x00\x16\x00UI", b"\x08\x00\x16\x00UM", "its header cannot be read: Unknown Value Representation 'UM'"),
        (b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00CC", "broken DICOM: Unknown Value Representation 'CC'"),
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


@pytest.fixture
def dciodvfy() -> str:
    return needed("dciodvfy", "dicom3tools", "what is written is not checked against the standard")


def errors(validator: str, image: Path) -> set[str]:
    answer = subprocess.run([validator, "-new", image], capture_output=True, text=True, errors="replace", check=False)
    lines = (answer.stdout + answer.stderr).splitlines()
    assert lines, "a validator that says nothing has not looked"
    return {line for line in lines if line.startswith("Error")}


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KR.dcm",  # CT, signed, padding
        "MR-SIEMENS-DICOM-WithOverlays.dcm",
        "RG3_UNCR.dcm",  # CR, MONOCHROME1
        "JPEG-LL.dcm",  # secondary capture of a nuclear image
        "US1_J2KI.dcm",  # YBR_ICT, lossy
        "JPGLosslessP14SV1_1s_1f_8b.dcm",
        "OBXXXX1A_rle_2frame.dcm",  # palette, two frames
        "gdcm-US-ALOKA-16_big.dcm",  # palette of 16 bits, big endian
        "emri_small_RLE.dcm",  # enhanced MR
        "SC_rgb_expb_16bit.dcm",
        "SC_ybr_full_uncompressed.dcm",
    ],
)
def test_real_images_gain_no_error_against_the_standard(name: str, tmp_path: Path, dciodvfy: str) -> None:
    enhance_file(REAL / name, tmp_path / name, BICUBIC)
    assert errors(dciodvfy, tmp_path / name) - errors(dciodvfy, REAL / name) == set()


SMALL = 2**20 + 2**16  # pixels of all frames
SHIPPED = Path(pydicom.data.__file__).with_name("test_files")


def small_images() -> dict[str, Path]:
    """Every image of both packages that can be read and is small, once by its name."""
    found = {}
    for path in sorted([*SHIPPED.rglob("*.dcm"), *REAL.glob("*.dcm")]):
        with suppress(UnreadableImage):
            header = open_dicom(path, by_frame=True)
            if header.Rows * header.Columns * int(header.get("NumberOfFrames") or 1) <= SMALL:
                found[path.name] = path
    return found


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_no_small_image_at_hand_gains_an_error_against_the_standard(tmp_path: Path, dciodvfy: str) -> None:
    gained, classes = {}, set()
    for name, path in small_images().items():
        with suppress(UnreadableImage, StepError):
            enhance_file(path, tmp_path / name, BICUBIC)
            before, header = path, open_dicom(path)
            if header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:  # the validator reads none
                header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                before = write_dicom(tmp_path / "inflated.dcm", header)
            gained[name] = errors(dciodvfy, tmp_path / name) - errors(dciodvfy, before)
            classes.add(header.SOPClassUID.name)
    assert {name: more for name, more in gained.items() if more} == {}
    assert len(gained) > 90 and len(classes) >= 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 1, 40), (1, 40, 3)])
def test_an_image_of_one_row_or_column_is_enlarged_like_any_other(tmp_path: Path, shape: tuple[int, ...]) -> None:
    stored = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    generator = Generator(build({"name": "srcnn"}, scale=2), 2, "sr-generator", "3", (0.1, 99.9))
    image = enhanced(tmp_path, dicom(stored, "US"), generator)
    rows, columns = shape[:2] if shape[-1] == 3 else shape[-2:]
    assert (image.Rows, image.Columns) == (rows * 2, columns * 2)
    assert image.pixel_array.size == stored.size * 4


def test_the_validator_would_see_a_wrong_image_type(tmp_path: Path, dciodvfy: str) -> None:
    image = enhanced(tmp_path, dicom(drawn(4000), "NM", ImageType=["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]))
    right = errors(dciodvfy, tmp_path / "out.dcm")
    image.ImageType = ["DERIVED", "SECONDARY", "STATIC", "EMISSION"]
    assert errors(dciodvfy, write_dicom(tmp_path / "wrong.dcm", image)) - right


def test_real_images_keep_their_values_and_their_place(tmp_path: Path) -> None:
    source = dcmread(REAL / "693_UNCR.dcm")
    enhance_file(REAL / "693_UNCR.dcm", tmp_path / "out.dcm", replace(BICUBIC, version="4"))
    image = dcmread(tmp_path / "out.dcm")
    before, after = source.pixel_array.astype(float), image.pixel_array.astype(float)
    assert np.abs(after.reshape(512, 2, 512, 2).mean((1, 3)) - before).mean() < 15
    extent = [float(spacing) * sides for spacing, sides in zip(source.PixelSpacing, before.shape, strict=True)]
    assert [float(s) * n for s, n in zip(image.PixelSpacing, after.shape, strict=True)] == pytest.approx(
        extent, abs=0.01
    )
