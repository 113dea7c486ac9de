"""The pixels of a sharpened DICOM image: range, sign, padding, frames, colour and tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import dcmread

from components.enhance import enhance_file
from components.learning.inference import tiling
from components.learning.inference.generator import Generator
from components.learning.models import build
from tests.drawing import dicom, shapes, write_dicom
from tests.enlarging import BICUBIC, by_hand, drawn, enhanced


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


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 1, 40), (1, 40, 3)])
def test_an_image_of_one_row_or_column_is_enlarged_like_any_other(tmp_path: Path, shape: tuple[int, ...]) -> None:
    stored = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    generator = Generator(build({"name": "srcnn"}, scale=2), 2, "sr-generator", "3", (0.1, 99.9))
    image = enhanced(tmp_path, dicom(stored, "US"), generator)
    rows, columns = shape[:2] if shape[-1] == 3 else shape[-2:]
    assert (image.Rows, image.Columns) == (rows * 2, columns * 2)
    assert image.pixel_array.size == stored.size * 4
