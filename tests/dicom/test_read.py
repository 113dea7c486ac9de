from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate

from components.dicom.read import read_dicom, read_image
from components.imaging.decoding import UnreadableImage
from components.sources import pydicom_data
from tests.drawing import dicom, shapes, write_dicom
from tests.settings import small

GREY = np.arange(35, dtype=np.uint16).reshape(5, 7)
COLOUR = np.arange(105, dtype=np.uint8).reshape(5, 7, 3)


def read(tmp_path: Path, image: Dataset) -> NDArray[np.float32]:
    return read_dicom(write_dicom(tmp_path / "image.dcm", image)).pixels


def grey(stored: NDArray[Any], **attributes: Any) -> FileDataset:
    return dicom(stored, "CR", **attributes)


def palette(stored: NDArray[Any], bits: int) -> FileDataset:
    image = dicom(stored, "US", PhotometricInterpretation="PALETTE COLOR")
    for number, name in enumerate(("Red", "Green", "Blue")):
        entries = (np.arange(64) * (number + 1)).astype("<u2" if bits == 16 else "u1")
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [64, 0, bits])
        setattr(image, f"{name}PaletteColorLookupTableData", entries.tobytes())
    return image


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_stored_values_come_as_they_are_whatever_their_depth_and_sign(tmp_path: Path, dtype: str) -> None:
    stored = (GREY.astype(np.int64) - (17 if dtype.startswith("i") else 0)).astype(dtype)
    pixels = read(tmp_path, grey(stored))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, stored[None].astype(np.float32))


def test_float_pixels_are_read(tmp_path: Path) -> None:
    image = grey(GREY)
    del image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation
    image.BitsAllocated, image.FloatPixelData = 32, (GREY / 8).astype("<f4").tobytes()
    np.testing.assert_array_equal(read(tmp_path, image), (GREY / 8).astype(np.float32)[None])


def test_rescale_gives_hounsfield_units_and_the_true_range(tmp_path: Path) -> None:
    image = read_dicom(write_dicom(tmp_path / "ct.dcm", dicom(GREY, "CT", RescaleSlope=2)))
    assert (image.low, image.high) == (-1024.0, -1024.0 + 2 * 34)


def test_a_modality_lookup_table_is_applied(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [35, 0, 16], "US"
    table.add_new("LUTData", "US", [1000 - 3 * value for value in range(35)])
    pixels = read(tmp_path, grey(GREY, ModalityLUTSequence=[table]))
    np.testing.assert_array_equal(pixels[0], 1000 - 3 * GREY.astype(np.float32))


def test_each_frame_of_an_enhanced_image_has_its_own_rescale(tmp_path: Path) -> None:
    groups = []
    for slope in (1, 10):
        transformation, group = Dataset(), Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = slope, 5, "US"
        group.PixelValueTransformationSequence = [transformation]
        groups.append(group)
    pixels = read(tmp_path, dicom(np.stack([GREY, GREY]), "MR", PerFrameFunctionalGroupsSequence=groups))
    np.testing.assert_array_equal(pixels, np.stack([GREY + 5, GREY * 10 + 5]).astype(np.float32))


def test_monochrome1_is_mirrored_within_its_own_range(tmp_path: Path) -> None:
    pixels = read(tmp_path, grey(GREY + 100, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(pixels[0], 134 - GREY.astype(np.float32))


@pytest.mark.parametrize("photometric, padding", [("MONOCHROME2", -2000), ("MONOCHROME1", 3000)])
def test_padding_becomes_the_darkest_real_value(tmp_path: Path, photometric: str, padding: int) -> None:
    stored = GREY.astype(np.int16)
    stored[0] = padding
    image = dicom(stored, "CT", PixelPaddingValue=padding, PhotometricInterpretation=photometric)
    image["PixelPaddingValue"].VR = "SS"
    pixels = read(tmp_path, image)
    assert pixels.max() - pixels.min() == 34 - 7
    assert (pixels[0, 0] == pixels.min()).all()


def test_bits_above_those_stored_are_dropped(tmp_path: Path) -> None:
    image = grey(GREY | 0xF000, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read(tmp_path, image)[0], GREY)


def test_negative_values_of_few_bits_keep_their_sign(tmp_path: Path) -> None:
    stored = (GREY.astype(np.int16) - 17) & 0x0FFF
    pixels = read(tmp_path, grey(stored.astype(np.int16), BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(pixels[0], GREY.astype(np.float32) - 17)


def test_frames_come_first_and_single_images_have_one(tmp_path: Path) -> None:
    assert read(tmp_path, grey(GREY)).shape == (1, 5, 7)
    assert read(tmp_path, dicom(np.stack([GREY] * 3), "NM")).shape == (3, 5, 7)
    assert read(tmp_path, dicom(COLOUR, "US")).shape == (1, 5, 7, 3)


def test_colour_by_plane_reads_as_colour_by_pixel(tmp_path: Path) -> None:
    image = dicom(COLOUR, "US", PlanarConfiguration=1)
    image.PixelData = COLOUR.transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(read(tmp_path, image)[0], COLOUR)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    stored = np.broadcast_to(np.array([76, 85, 255], np.uint8), (5, 7, 3)).copy()  # red
    pixels = read(tmp_path, dicom(stored, "US", PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_allclose(pixels[0, 0, 0], [254, 0, 0], atol=2)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_rgb(tmp_path: Path, bits: int) -> None:
    pixels = read(tmp_path, palette(GREY.astype(np.uint8), bits))
    expected = GREY[..., None] * np.array([1, 2, 3])
    np.testing.assert_array_equal(pixels[0], expected.astype(np.float32))


def test_a_big_endian_palette_reads_as_its_little_endian_twin() -> None:
    files = {item.name: item.path for item in pydicom_data.items("", small())}
    little, big = read_image(files["OBXXXX1A.dcm"]), read_image(files["OBXXXX1A_expb.dcm"])
    np.testing.assert_array_equal(little, big)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_lossless_encodings_give_the_same_values(tmp_path: Path, syntax: uid.UID) -> None:
    stored = (shapes(37, 53) * 4000).astype(np.uint16)
    image = grey(stored, BitsStored=12, HighBit=11)
    image.compress(syntax)
    np.testing.assert_array_equal(read(tmp_path, image)[0], stored)


@pytest.mark.parametrize("twin", ["RLE", "big_endian", "jpeg_ls_lossless", "jpeg_2k_lossless"])
def test_real_files_in_every_lossless_encoding_agree(twin: str) -> None:
    files = {item.name: item.path for item in pydicom_data.items("", small())}
    np.testing.assert_array_equal(read_image(files["emri_small.dcm"]), read_image(files[f"emri_small_{twin}.dcm"]))


def jpeg(cut: float = 1.0) -> FileDataset:
    stored, stream = (shapes(40, 56) * 255).astype(np.uint8), BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=95)
    content = stream.getvalue()
    image = grey(stored)
    image.PixelData = encapsulate([content[: int(len(content) * cut)]])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    return image


def test_jpeg_is_read(tmp_path: Path) -> None:
    np.testing.assert_allclose(read(tmp_path, jpeg())[0], shapes(40, 56) * 255, atol=40)


def test_a_jpeg_that_breaks_off_is_refused_and_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="truncated"):
        read(tmp_path, jpeg(cut=0.6))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_file_that_breaks_off_is_refused_by_name(tmp_path: Path, share: float) -> None:
    path = write_dicom(tmp_path / "cut.dcm", grey((shapes(64, 64) * 999).astype(np.uint16)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnreadableImage, match=r"cut\.dcm"):
        read_dicom(path)


def test_a_file_from_before_part_10_is_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "old.dcm", grey(GREY))
    image = dcmread(path)
    bare = Dataset()
    bare.update(image)
    bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    np.testing.assert_array_equal(read_image(path)[0], GREY)


@pytest.mark.parametrize("content", [b"", b"import numpy\n" * 40, b"\0" * 4000])
def test_what_is_not_dicom_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.dcm"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"notes\.dcm"):
        read_dicom(path)


@pytest.mark.parametrize("modality, says", [("SEG", "segmentation"), ("RTDOSE", "dose"), ("PR", "presentation")])
def test_what_is_not_an_image_is_refused_by_its_kind(tmp_path: Path, modality: str, says: str) -> None:
    with pytest.raises(UnreadableImage, match=says):
        read(tmp_path, grey(GREY, Modality=modality))


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"Rows": 60000, "Columns": 60000}, "claims"),
        ({"Rows": 0}, r"expected Rows \(0028,0010\), .* of 1 or more, found 0, 7 and 1. Correct it"),
        (
            {"PhotometricInterpretation": "CMYK"},
            r"Photometric Interpretation \(0028,0004\): .*, found another. Convert",
        ),
        (
            {"PhotometricInterpretation": "RGB"},
            r"Samples per Pixel \(0028,0002\): expected 3 for RGB, found 1. Correct",
        ),
        ({"NumberOfFrames": 2}, "decoded"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UnreadableImage, match=says):
        read(tmp_path, grey(GREY, **changes))


def test_a_header_without_pixels_is_refused(tmp_path: Path) -> None:
    image = grey(GREY)
    del image.PixelData
    with pytest.raises(UnreadableImage, match="no pixels"):
        read(tmp_path, image)


def test_arrays_that_ingest_stored_are_read_and_others_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GREY[None].astype(np.float32))
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), GREY[None])
    (tmp_path / "b.npy").write_bytes(b"not an array")
    with pytest.raises(UnreadableImage, match=r"b\.npy"):
        read_image(tmp_path / "b.npy")


def test_a_frame_at_which_a_decoder_in_rust_gives_up_is_named_like_any_other(tmp_path: Path) -> None:
    image = dicom(np.zeros((8, 8), np.uint16))
    image.file_meta.TransferSyntaxUID = uid.RLELossless
    segments = struct.pack("<16L", 2, 64, 66, *[0] * 13)
    image.PixelData = encapsulate([segments + b"\x81\x00" * 2])  # 128 zeros each, where 64 are expected
    image["PixelData"].VR = "OB"
    with pytest.raises(UnreadableImage, match=r"broken\.dcm: pixels cannot be decoded"):
        read_dicom(write_dicom(tmp_path / "broken.dcm", image))


def test_a_file_whose_header_has_half_a_number_in_it_is_named(tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "broken.dcm", dicom(np.zeros((8, 8), np.uint16))).read_bytes()
    (tmp_path / "broken.dcm").write_bytes(whole[:138] + b"\x05\x00" + b"\x00" + whole[140:])
    with pytest.raises(UnreadableImage, match=r"broken\.dcm: broken DICOM"):
        read_dicom(tmp_path / "broken.dcm")


def test_a_compressed_frame_knows_how_its_colours_lie_and_a_native_one_does_not(tmp_path: Path) -> None:
    coloured = np.dstack([GREY.astype(np.uint8)] * 3)
    image = dicom(coloured, "MR", PlanarConfiguration=None)
    del image.PlanarConfiguration
    with pytest.raises(UnreadableImage, match=r"expected Planar Configuration \(0028,0006\), found none"):
        read(tmp_path, image)
    image.PlanarConfiguration = 0
    image.compress(uid.RLELossless)
    del image.PlanarConfiguration
    np.testing.assert_array_equal(read(tmp_path, image)[0], coloured)


def test_a_photometric_interpretation_is_read_in_any_case(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, grey(GREY, PhotometricInterpretation="monochrome2"))[0], GREY)
