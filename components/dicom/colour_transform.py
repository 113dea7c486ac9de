"""Colours of JPEG 2000 frames that transform them themselves, whatever the header says (PS3.5 8.2.4).

A frame with a multiple component transformation gives RGB when it is decoded. A header that calls it YBR_FULL would
have it transformed a second time.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, JPEG2000TransferSyntaxes

from components.imaging.decoding import library

CODING_STYLE, TILE_PART = b"\xff\x52", b"\xff\x90"
COMPONENTS, WAVELET = 8, 13  # bytes from the marker on, to whether components and how values are transformed (A.6.1)
SYNTAXES = tuple(JPEG2000TransferSyntaxes)


def settle_colours(dataset: Dataset) -> None:
    """Sets Photometric Interpretation of `dataset` to YBR_RCT or YBR_ICT where its frames say so, in place."""
    said = str(dataset.PhotometricInterpretation)
    if said not in ("YBR_FULL", "YBR_FULL_422") or UID(dataset.file_meta.TransferSyntaxUID) not in SYNTAXES:
        return
    with library("pixels cannot be decoded"):
        stream = next(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))
    style = _coding_style(stream)
    if style[COMPONENTS : COMPONENTS + 1] == b"\1":
        dataset.PhotometricInterpretation = "YBR_RCT" if style[WAVELET : WAVELET + 1] == b"\1" else "YBR_ICT"


def _coding_style(stream: bytes) -> bytes:
    """From its marker on; empty where the main header has none."""
    at = stream.find(b"\xff\x4f\xff\x51") + 2
    while at > 1 and at + 4 <= len(stream) and stream[at : at + 2] != TILE_PART:
        if stream[at : at + 2] == CODING_STYLE:
            return stream[at:]
        at += 2 + int.from_bytes(stream[at + 2 : at + 4])
    return b""
