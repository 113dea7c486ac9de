"""Limits on an image before it is decoded: a small file can claim, or inflate to, more than a machine's memory."""

from __future__ import annotations

import zlib
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from components.dicom.codestreams import check_frames
from components.dicom.read import open_dicom
from components.imaging.decoding import BROKEN, UnreadableImage, faults_of
from components.imaging.picture_files import picture_size
from components.serving.settings import Limits

MIB, MEGAPIXEL = 2**20, 10**6
CHUNK = 2**20
BEFORE_META = 132  # bytes of preamble and prefix


class TooLarge(UnreadableImage):
    """The image is over a limit of the settings."""


def check(path: Path, limits: Limits) -> None:
    """Raises `TooLarge` or another `UnreadableImage` where `path` is over the limits or contradicts itself.

    Memory is bounded by the limits, whatever is in the file.
    """
    check_file(path, limits)
    if path.suffix == ".dcm":
        _check_dicom(path, limits)
    else:
        _check_picture(path, limits)


def check_file(path: Path, limits: Limits) -> None:
    """Checks the file's size, on disk and inflated, before its header is read. Raises `TooLarge`."""
    max_bytes = int(limits.file_mib * MIB)
    if path.stat().st_size > max_bytes:
        raise TooLarge(path.name, f"{path.stat().st_size} bytes, {max_bytes} are taken")
    if path.suffix == ".dcm" and _deflated(path) and _inflates_beyond(path, max_bytes):
        raise TooLarge(path.name, f"inflates to more than the {max_bytes} bytes that are taken")


def _check_dicom(path: Path, limits: Limits) -> None:
    image = open_dicom(path, by_frame=True)  # decodes nothing before its size is known to be within the limits
    frames = int(image.get("NumberOfFrames") or 1)
    if frames > limits.frames:
        raise TooLarge(path.name, f"{frames} frames, {limits.frames} are taken")
    _check_pixels(path, image.Rows, image.Columns, limits)
    with faults_of(path.name):
        check_frames(image)


def _check_picture(path: Path, limits: Limits) -> None:
    rows, columns = picture_size(path)
    _check_pixels(path, rows, columns, limits)


def _check_pixels(path: Path, rows: int, columns: int, limits: Limits) -> None:
    if rows * columns > limits.megapixels * MEGAPIXEL:
        raise TooLarge(path.name, f"{rows} x {columns} pixels, {limits.megapixels:g} million are taken")


def _deflated(path: Path) -> bool:
    try:
        syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    except (InvalidDicomError, *BROKEN):
        return False  # whoever reads it says what is wrong
    return bool(syntax == DeflatedExplicitVRLittleEndian)


def _inflates_beyond(path: Path, max_bytes: int) -> bool:
    meta = read_file_meta_info(path)
    data_start = BEFORE_META + 12 + int(meta.get("FileMetaInformationGroupLength", 0))  # 12: the element that says so
    inflater, inflated_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as handle:
        handle.seek(data_start)
        chunk = handle.read(CHUNK)
        while chunk and not inflater.eof:
            try:
                inflated_bytes += len(inflater.decompress(chunk, CHUNK))
            except zlib.error:
                return False  # whoever reads it says so
            if inflated_bytes > max_bytes:
                return True
            chunk = inflater.unconsumed_tail or handle.read(CHUNK)
    return False
