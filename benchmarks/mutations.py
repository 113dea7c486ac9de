"""Files as broken as archives and attackers have them: real DICOM files, changed at random from a seed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from components.dicom.leak_scan import PIXEL_DATA
from components.imaging.decoding import BROKEN
from tests.drawing import dicom, shapes

Random = np.random.Generator
REAL = (Path(str(files("data_store"))) / "data", Path(str(files("pydicom"))) / "data" / "test_files")
LARGEST = 150_000  # bytes of a file that is mutated: what is broken about a file does not depend on its size
HEADER = 4096  # bytes at the start of a file, where half of the mutations of bytes go
VRS = tuple(b"AE AS AT CS DA DS DT FD FL IS LO LT OB OF OW PN SH SL SQ SS ST TM UC UI UL UN UR US UT".split())
ELEMENT = re.compile(rb"[\x00-\xff]{4}(?:" + b"|".join(VRS) + rb")", re.DOTALL)
ODD_BYTES = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00", b"\xff" * 8, b"\0" * 8,
    b"\xff\xd8\xff\xfe", b"\x28\x00\x10\x00US\x02\x00\xff\xff",
)  # fmt: skip
ODD_VALUES = (
    b"", b"\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0", b"-1", b"1,5 ", b"nan ", b"1e400 ", b"99999999999 ", b"\\\\",
    b"1\\2\\3\\4 ", b"Doe^Jane", b"\xe9\xff ", b"RGB ", b"PALETTE COLOR ", b"YBR_FULL", b"MONOCHROME1 ",
    b"\x1b$B$\x1b(B", b"\0" * 64, b"x" * 70_000,
)  # fmt: skip
ATTRIBUTES = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Modality", "ImageType", "PatientID", "PatientName",
    "SpecificCharacterSet", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "LossyImageCompression", "BurnedInAnnotation", "PixelData",
    "SequenceOfUltrasoundRegions", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "ModalityLUTSequence",
    "BodyPartExamined", "SourceImageSequence", "ExtendedOffsetTable", "FloatPixelData", "IconImageSequence",
)  # fmt: skip


@cache
def corpus() -> list[tuple[str, bytes]]:
    """Name and content of small images of pydicom-data and of pydicom's own tests, and of a drawn one a modality."""
    paths = sorted(path for folder in REAL for path in folder.rglob("*.dcm"))
    small = [path for path in paths if path.stat().st_size <= LARGEST]
    real = [path for path in small if PIXEL_DATA in path.read_bytes()]
    drawn = {modality: _drawn(modality, seed) for seed, modality in enumerate(("CT", "MR", "CR", "DX", "US", "NM"))}
    return [(path.name, path.read_bytes()) for path in real] + [(f"{name}.dcm", text) for name, text in drawn.items()]


def mutate(content: bytes, random: Random) -> tuple[bytes, str]:
    """`content` after one or two mutations, and their names."""
    kinds = [KINDS[number] for number in random.integers(len(KINDS), size=random.integers(1, 3))]
    for kind in kinds:
        content = kind(content, random) if content else content
    return content, "+".join(kind.__name__ for kind in kinds)


def flip(content: bytes, random: Random) -> bytes:
    """Other values in up to 16 bytes."""
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 17))):
        changed[_place(content, random)] = int(random.integers(256))
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """The file ends early."""
    return content[: int(random.integers(len(content)))]


def drop(content: bytes, random: Random) -> bytes:
    """A part is missing."""
    place = _place(content, random)
    return content[:place] + content[place + int(random.integers(1, 257)) :]


def double(content: bytes, random: Random) -> bytes:
    """A part stands there twice."""
    place = _place(content, random)
    end = place + int(random.integers(1, 4097))
    return content[:end] + content[place:end] + content[end:]


def insert(content: bytes, random: Random) -> bytes:
    """Delimiters, markers or noise in the middle."""
    place, number = _place(content, random), int(random.integers(len(ODD_BYTES) + 1))
    odd = random.bytes(16) if number == len(ODD_BYTES) else ODD_BYTES[number]
    return content[:place] + odd + content[place:]


def length(content: bytes, random: Random) -> bytes:
    """An element claims another length."""
    claimed = (0, 1, 3, 0xFFFE, 0xFFFF, int(random.integers(2**16)))[random.integers(6)]
    return _in_element(content, random, lambda at: (at + 6, claimed.to_bytes(2, "little")))


def vr(content: bytes, random: Random) -> bytes:
    """An element claims another value representation."""
    return _in_element(content, random, lambda at: (at + 4, VRS[random.integers(len(VRS))]))


def tag(content: bytes, random: Random) -> bytes:
    """An element claims to be another attribute."""
    keyword = ATTRIBUTES[random.integers(len(ATTRIBUTES))]
    group, element = Tag(keyword).group, Tag(keyword).element
    return _in_element(content, random, lambda at: (at, group.to_bytes(2, "little") + element.to_bytes(2, "little")))


def attribute(content: bytes, random: Random) -> bytes:
    """An attribute that the program reads has an odd value, or another value representation."""
    keyword, value = ATTRIBUTES[random.integers(len(ATTRIBUTES))], ODD_VALUES[random.integers(len(ODD_VALUES))]
    representation = VRS[random.integers(len(VRS))].decode()
    try:
        image = dcmread(BytesIO(content), force=True)
        if random.integers(2) and keyword in image:
            representation = image.get_item(keyword).VR or representation
        place = Tag(keyword)
        image[place] = RawDataElement(place, representation, len(value), value, 0, False, True)
        written = BytesIO()
        image.save_as(written, enforce_file_format=False)
    except BROKEN:
        return flip(content, random)
    return written.getvalue()


def nest(content: bytes, random: Random) -> bytes:
    """Sequences in sequences, up to thousands deep, where an element begins."""
    depth = int(10 ** random.uniform(0, 3.5))
    opening = b"\x08\x00\x12\x21SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    found = ELEMENT.search(content, _place(content, random))
    at = found.start() if found else len(content)
    return content[:at] + opening * depth + closing * depth + content[at:]


KINDS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip, cut, drop, double, insert, length, vr, tag, attribute, attribute, attribute, nest,
)  # fmt: skip


def mutated(seed: int, numbers: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """A file for each number, by a name that tells of it; the same for the same seed and number."""
    originals = corpus()
    for number in numbers:
        random = np.random.default_rng((seed, number))
        name, content = originals[random.integers(len(originals))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom wonders at what is broken on purpose
            content, kinds = mutate(content, random)
        yield f"{number:06}-{kinds}-{name}", content


def _place(content: bytes, random: Random) -> int:
    return int(random.integers(min(len(content), HEADER) if random.integers(2) else len(content)))


def _in_element(content: bytes, random: Random, change: Callable[[int], tuple[int, bytes]]) -> bytes:
    """`content` with the bytes at a place, both from `change`, of the first explicit element after a random place."""
    found = ELEMENT.search(content, _place(content, random))
    if found is None:
        return flip(content, random)
    at, new = change(found.start())
    return content[:at] + new + content[at + len(new) :]


def _drawn(modality: str, seed: int) -> bytes:
    written = BytesIO()
    dicom((shapes(48, 56, seed) * 4095).astype(np.uint16), modality, BitsStored=12, HighBit=11).save_as(written)
    return written.getvalue()
