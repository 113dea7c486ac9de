"""Looks for identity that de-identification left behind. Shares no code with it: one must not hide the other's bugs.

Both ask the standard's table of terms alone (`components/dicom/defined_terms.py`).

The rule, so that chance does not stop a run. A value of 8 characters or more counts wherever it begins a word, in the
decoded attributes and in the bytes of the file. One of 3 to 7 characters (4 where there are digits in it) counts as a
whole word in text only: in attributes, in segments of compressed streams, behind the pixels. Plain digits of that
length count in no number: an 8-bit image of 512 x 512 holds most words of three letters by chance. Two characters count
only outside ASCII, where they can be a whole name; their bytes count from 4 on in the header, from 8 on in pixels.
A word tells of nobody where it is a term of the standard for the attribute it stands in, such as a patient named Head
beside the body part HEAD.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments
from pydicom.pixels.utils import get_expected_length, iter_pixels
from pydicom.uid import RLELossless

from components.dicom.defined_terms import TERMS, known_meaning, known_value
from components.dicom.identity import Identity, elements, items, place_of, plain, readings, vr_of
from components.imaging.decoding import BROKEN

SUBSTRING = 8  # characters from which on a value is looked for in bytes and inside longer words
HEADER_BYTES = 4  # of a word outside ASCII, from which on it is looked for in the bytes of the header
NUMBERS = ("DS", "IS", "US", "SS", "UL", "SL", "FL", "FD")
BINARY = ("OB", "UN")
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
ENCODINGS = ("utf-8", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "iso8859-1", "iso8859-5", "cp1251")
# Comments and application segments, whose length follows. They stand nowhere in entropy-coded data of JPEG. In packets
# of JPEG 2000 they do by chance, so that its headers alone are searched: from the start of a stream or tile-part on.
MESSAGE = re.compile(rb"\xff[\xe0-\xef\xfe](?=(..))", re.DOTALL)
MESSAGE_2000 = re.compile(rb"\xff\x64(?=(..))", re.DOTALL)
HEADER_2000 = re.compile(rb"(?:\xff\x4f\xff\x51|\xff\x90\x00\x0a).*?(?=\xff\x93)", re.DOTALL)
STREAM_END = b"\xff\xd9"
BYTES_OF_FILE = "the bytes of the file"  # where no attribute says it
PIXEL_DATA = b"\xe0\x7f\x10\x00"  # its tag, little endian as every file is written here


@dataclass(frozen=True)
class Leak:
    """Something of `origin` (an attribute of the file as it came) at `place`; the value itself is not kept."""

    origin: str
    place: str


@dataclass(frozen=True)
class Text:
    """What is written at a place, as `plain` gives it."""

    place: str
    text: str
    counts_short_numbers: bool = True


def leaks(path: Path, identity: Identity) -> list[Leak]:
    """Where anything of `identity` is left in the DICOM file `path`, in its header and around its pixels."""
    dataset = dcmread(path)
    read = list(elements(dataset))
    texts = [*(text for element, encoded in read for text in _texts(element, encoded)), *_around_pixels(dataset)]
    content = path.read_bytes()
    for excused in {item for element, _ in read for item in items(element) if _is_term(element, item)}:
        if len(excused) >= SUBSTRING:
            content = content.replace(excused.encode(), b"")
    header = content.partition(PIXEL_DATA)[0]
    found = {Leak(origin, text.place) for text in texts for origin in _in_text(text, identity)}
    in_bytes = _in_bytes(identity, content.lower(), header.lower())
    found |= {Leak(origin, BYTES_OF_FILE) for origin in in_bytes}
    if _outside_pixel_bits(dataset):
        found.add(Leak("an overlay or other data", "bits that no pixel uses"))
    return sorted(found, key=lambda leak: (leak.origin, leak.place))


def _texts(element: DataElement, encoded: bytes) -> Iterator[Text]:
    """What an attribute says, without values that are terms of the standard for it."""
    if element.tag in PIXELS or (isinstance(element.value, bytes) and element.VR not in BINARY):
        return
    said = "\n".join(item for item in items(element) if not _is_term(element, item))
    place, numeric = place_of(element), vr_of(element) in NUMBERS or element.VR in BINARY
    yield from (Text(place, plain(read), not numeric) for read in readings(said, encoded if said else b""))


def _is_term(element: DataElement, value: str) -> bool:
    if element.keyword == "CodeMeaning":
        return known_meaning(value)
    return (vr_of(element) == "CS" or element.keyword in TERMS) and known_value(element.keyword, value)


def _around_pixels(dataset: Dataset) -> Iterator[Text]:
    """Text in segments of compressed streams, behind the end of a stream, and behind the last native pixel."""
    if "PixelData" not in dataset:
        return
    data = dataset.PixelData
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield Text("the bytes behind the last pixel", _latin(data[_length(dataset, len(data)) :]))
        return
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        return  # has no segments, and data of chance everywhere
    for fragment in generate_fragments(data):
        for said in _messages(fragment):
            for read in readings(said.decode("latin-1"), said):
                yield Text("a segment of its compressed pixels", plain(read))
        _, end, after = fragment.rpartition(STREAM_END)
        if end:
            yield Text("the bytes behind a compressed stream", _latin(after))


def _messages(stream: bytes) -> Iterator[bytes]:
    jpeg = stream.startswith(b"\xff\xd8")
    parts = [stream] if jpeg else [header[0] for header in HEADER_2000.finditer(stream)]
    for part in parts:
        for message in (MESSAGE if jpeg else MESSAGE_2000).finditer(part):
            yield part[message.end() + 2 : message.end() + int.from_bytes(message[1])]


def _latin(data: bytes) -> str:
    return plain(data.decode("latin-1"))


def _length(dataset: Dataset, otherwise: int) -> int:
    try:
        return get_expected_length(dataset)
    except BROKEN:
        return otherwise


def _outside_pixel_bits(dataset: Dataset) -> bool:
    """Whether bits above Bits Stored are set that are no sign; of syntaxes that store them as they are."""
    syntax = dataset.file_meta.TransferSyntaxUID
    allocated, stored = dataset.get("BitsAllocated"), dataset.get("BitsStored")
    if "PixelData" not in dataset or allocated not in (8, 16, 32) or not stored or stored >= allocated:
        return False
    kind = "i" if dataset.get("PixelRepresentation") else "u"
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if kind == "i" else (0, 2**stored - 1)
    if syntax == RLELossless:
        frames = iter_pixels(dataset, raw=True, correct_unused_bits=False)
    elif syntax.is_encapsulated:
        return False
    else:
        length = _length(dataset, 0) // (allocated // 8)
        frames = iter([np.frombuffer(dataset.PixelData, f"<{kind}{allocated // 8}", count=length)])
    return any(frame.size and (frame.min() < low or frame.max() > high) for frame in frames)


def _in_text(text: Text, identity: Identity) -> Iterator[str]:
    if not text.text:
        return
    for word, origin in identity.values.items():
        short_number = word.replace(".", "").isdigit() and len(word) < SUBSTRING
        if word in text.text and (text.counts_short_numbers or not short_number) and _begins_word(word, text.text):
            yield origin


def _begins_word(word: str, text: str) -> bool:
    if not word.isascii():
        return True
    before = r"(?<![a-z0-9.])" if word[0].isdigit() else r"(?<![a-z0-9])"
    after = r"(?!\.?[a-z0-9])" if len(word) < SUBSTRING else ""  # a number before a point is the beginning of a UID
    return re.search(before + re.escape(word) + after, text) is not None


def _in_bytes(identity: Identity, content: bytes, header: bytes) -> Iterator[str]:
    """Long values only, and not those of few different characters, which a plain patch of an image can spell."""
    patterns: dict[bytes, str] = {}
    for word, origin in identity.values.items():
        if not word.isascii():
            patterns |= {written: origin for form in _forms(word) for written in _written(form)}
        elif len(word) >= SUBSTRING and len(set(word)) >= 4:
            before = rb"(?<![0-9a-z.])" if word.isdigit() else b""
            if word.encode() in content and re.search(before + re.escape(word.encode()), content):
                yield origin
    for written, origin in patterns.items():
        looked_through = content if len(written) >= SUBSTRING else header
        if len(written) >= HEADER_BYTES and len(set(written)) >= 3 and written in looked_through:
            yield origin


def _forms(word: str) -> set[str]:
    """Composed and decomposed, as it is folded and with its capitals."""
    cases = (word, word.upper(), word.title())
    return {unicodedata.normalize(form, case) for form in ("NFC", "NFD") for case in cases}


def _written(form: str) -> set[bytes]:
    return {encoded for name in ENCODINGS if (encoded := _encoded(form, name))}


def _encoded(word: str, encoding: str) -> bytes:
    try:
        return word.encode(encoding).lower()
    except UnicodeEncodeError:
        return b""
