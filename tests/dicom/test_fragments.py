"""Pixel data that lies otherwise in its file than its transfer syntax says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from components.dicom.frames import stored_frame
from components.dicom.read import open_dicom, read_dicom
from components.imaging.decoding import UnreadableImage
from tests.drawing import dicom, shapes, write_big_endian, write_dicom

FILM = (np.stack([shapes(41, 33, seed) for seed in range(3)]) * 4000).astype(np.uint16)
NATIVE = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian]


def in_fragments(path: Path, image: Dataset, fragments: list[bytes], syntax: uid.UID = NATIVE[0]) -> Path:
    """`image` under `syntax`, with what an encapsulated one would have as Pixel Data."""
    image.PixelData = encapsulate(fragments)
    image.file_meta.TransferSyntaxUID = syntax
    image["PixelData"].is_undefined_length, image["PixelData"].VR = True, "OB"
    image.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=False)
    return path


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("frames", [1, 3])
def test_native_pixels_in_fragments_are_put_together(tmp_path: Path, syntax: uid.UID, frames: int) -> None:
    image = dicom(FILM[0] if frames == 1 else FILM, "MR")
    path = in_fragments(tmp_path / "a.dcm", image, [frame.tobytes() for frame in FILM[:frames]], syntax)
    np.testing.assert_array_equal(read_dicom(path).pixels, FILM[:frames])
    assert not open_dicom(path)["PixelData"].is_undefined_length


def test_frames_of_an_odd_length_lose_what_filled_them_up(tmp_path: Path) -> None:
    film = (FILM >> 4).astype(np.uint8)  # 1353 bytes a frame
    path = in_fragments(tmp_path / "a.dcm", dicom(film, "US"), [frame.tobytes() for frame in film])
    np.testing.assert_array_equal(read_dicom(path).pixels, film)


def test_item_headers_under_a_length_are_no_pixels_either(tmp_path: Path) -> None:
    image = dicom(FILM[0], "MR")
    image.PixelData = encapsulate([FILM[0].tobytes()])
    np.testing.assert_array_equal(read_dicom(write_dicom(tmp_path / "a.dcm", image)).pixels[0], FILM[0])


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_compressed_fragments_under_a_native_syntax_are_refused(tmp_path: Path, syntax: uid.UID) -> None:
    image = dicom(FILM, "MR")
    image.compress(syntax)
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False)
    with pytest.raises(UnreadableImage, match=r"Pixel Data \(7FE0,0010\): expected 8118 bytes of native pixels"):
        read_dicom(tmp_path / "a.dcm")


def test_a_compressed_frame_of_just_the_native_length_is_refused(tmp_path: Path) -> None:
    image = dicom(np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8), "US")
    image.compress(uid.RLELossless)
    (stream,) = generate_frames(image.PixelData, number_of_frames=1)
    native = dicom(np.zeros((len(stream) // 2, 2), np.uint8), "US")
    with pytest.raises(UnreadableImage, match="may be compressed"):
        read_dicom(in_fragments(tmp_path / "a.dcm", native, [stream]))


def test_native_pixels_under_an_encapsulated_syntax_are_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", dicom(FILM, "MR"))
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    with pytest.raises(UnreadableImage, match=r"expected fragments, because the transfer syntax is RLE Lossless"):
        read_dicom(path)


def without_preamble(path: Path, cut: int = 132) -> Path:
    path.write_bytes(path.read_bytes()[cut:])
    return path


def test_the_last_bytes_of_a_preamble_may_be_there(tmp_path: Path) -> None:
    path = without_preamble(write_dicom(tmp_path / "a.dcm", dicom(FILM[0], "US")), 128)
    np.testing.assert_array_equal(read_dicom(path).pixels[0], FILM[0])
    assert np.array_equal(stored_frame(open_dicom(path, by_frame=True), 0), FILM[0])


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.ExplicitVRBigEndian, *NATIVE])
@pytest.mark.parametrize("noise", [False, True])
def test_a_file_meta_without_a_preamble_names_the_syntax(tmp_path: Path, syntax: uid.UID, noise: bool) -> None:
    stored = np.random.default_rng(1).integers(0, 256, (40, 36)).astype(np.uint8) if noise else FILM[0]
    image = dicom(stored, "US")
    if syntax.is_encapsulated:
        image.compress(syntax)
    elif syntax == uid.ExplicitVRBigEndian:
        image.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
        image["PixelData"].VR = "OW" if stored.itemsize == 2 else "OB"
    image.file_meta.TransferSyntaxUID = syntax
    write = write_big_endian if syntax == uid.ExplicitVRBigEndian else write_dicom
    path = without_preamble(write(tmp_path / "a.dcm", image))
    np.testing.assert_array_equal(read_dicom(path).pixels[0], stored)


def test_fragments_in_a_file_without_file_meta_are_not_taken_for_pixels(tmp_path: Path) -> None:
    image = dicom(np.random.default_rng(1).integers(0, 256, (40, 36)).astype(np.uint8), "US")
    image.compress(uid.RLELossless)
    path = write_dicom(tmp_path / "a.dcm", image)
    meta = dcmread(path).file_meta
    content = path.read_bytes()
    path.write_bytes(content[144 + meta.FileMetaInformationGroupLength :])
    with pytest.raises(UnreadableImage, match="may be compressed"):
        read_dicom(path)


def test_a_file_that_does_not_say_its_transfer_syntax_is_refused(tmp_path: Path) -> None:
    image = dicom(FILM[0], "MR")
    del image.file_meta.TransferSyntaxUID
    image.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False)
    with pytest.raises(UnreadableImage, match=r"expected a Transfer Syntax UID \(0002,0010\).*found none"):
        read_dicom(tmp_path / "a.dcm")


def test_a_transfer_syntax_that_nobody_decodes_is_named(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", dicom(FILM[0], "MR"))
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99998.1.2.1\0"))
    with pytest.raises(UnreadableImage, match=r"the transfer syntax 1\.2\.840\.99998\.1\.2\.1 cannot be decoded"):
        read_dicom(path)


def test_pixel_data_that_is_no_bytes_is_refused(tmp_path: Path) -> None:
    image = dicom(np.zeros((1, 2), np.uint16), "MR")
    del image.PixelData
    image.add_new("PixelData", "US", [1, 2])
    with pytest.raises(UnreadableImage, match=r"Pixel Data \(7FE0,0010\): expected bytes"):
        read_dicom(write_dicom(tmp_path / "a.dcm", image))
