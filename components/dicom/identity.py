"""Looks for identity that de-identification left behind. Shares no code with it: one must not hide the other's bugs.

From the file as it came: parts of every person's name, identifiers, birth dates, institutions, addresses, telephone
numbers and the UIDs of its instances, in sequences and private attributes too. In the file as written: none of them.

The rule, so that chance does not stop a run. A value of 8 characters or more counts wherever it begins a word, in the
decoded attributes and in the bytes of the file. One of 3 to 7 characters (4 where there are digits in it) counts as a
whole word in decoded attributes only, and plain digits of that length only in text: an 8-bit image of 512 x 512 holds
most words of three letters by chance. Two characters count only outside ASCII, where they can be a whole name.
A word that is a whole coded value (VR CS, such as a patient named Head beside the body part HEAD), or that is part of
the machine's make and model, tells of nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.uid import UID

SUBSTRING = 8  # characters from which on a value is looked for in bytes and inside longer words
IDENTIFYING = re.compile(
    r"Patient(ID|BirthDate|BirthName|MotherBirthName|Address|TelephoneNumbers|InsurancePlan.*)$|OtherPatientIDs|"
    r"MedicalRecordLocator|MilitaryRank|IssuerOfPatientID$|AccessionNumber|^StudyID$|AdmissionID|"
    r"(Placer|Filler)OrderNumber|InstitutionName|InstitutionAddress|InstitutionalDepartmentName|StationName|"
    r"DeviceSerialNumber|Physician.*(Address|TelephoneNumbers|Identification)|PersonAddress|PersonTelephone|"
    r"ResponsibleOrganization|RequestedProcedureID|ScheduledProcedureStepID|PerformedProcedureStepID|CountryOfResidence"
)
MAKE = ("Manufacturer", "ManufacturerModelName")
TEXT = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
NUMBERS = ("DS", "IS")
BYTES = ("OB", "UN")
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
NAME_LIKE = re.compile(r"[^\W\d_]+(?:\^[^\W\d_]*)+")
# what reading a broken attribute can raise
BROKEN = (
    ValueError, TypeError, AttributeError, KeyError, NotImplementedError, EOFError, OSError, IndexError,
    BytesLengthException,
)  # fmt: skip


@dataclass(frozen=True)
class Leak:
    """Something of `origin` (an attribute of the file as it came) found at `place`; the value itself is not kept."""

    origin: str
    place: str


@dataclass(frozen=True)
class Identity:
    """What may be left nowhere: each value in lower case, with the attribute it came from."""

    values: dict[str, str]

    def __or__(self, other: Identity) -> Identity:
        return Identity({**self.values, **other.values})


def collect(original: Dataset) -> Identity:
    """Every value in `original` that tells who was imaged, by whom and where."""
    values: dict[str, str] = {}
    make = " ".join(("", *(str(original.get(keyword, "")) for keyword in MAKE), "")).lower()
    for element in _elements(original):
        for value in _identifying_values(element):
            word = " ".join(value.lower().split())
            if _telling(word) and f" {word} " not in make:
                values.setdefault(word, _place(element))
    return Identity(values)


def collect_file(path: Path) -> Identity:
    """As `collect`, from whatever can be read of a file's header; empty where nothing can."""
    try:
        return collect(dcmread(path, force=True, stop_before_pixels=True))
    except BROKEN:
        return Identity({})


def leaks(path: Path, identity: Identity) -> list[Leak]:
    """Where anything of `identity` is left in the DICOM file `path`."""
    dataset = dcmread(path)
    elements = list(_elements(dataset))
    coded = {item for element in elements if element.VR == "CS" for item in _items(element)}
    wanted = {word: origin for word, origin in identity.values.items() if word not in coded}
    found = {Leak(origin, _place(element)) for element in elements for origin in _in_element(element, wanted)}
    content = path.read_bytes().lower()
    found |= {Leak(origin, "the bytes of the file") for word, origin in wanted.items() if _in_bytes(word, content)}
    return sorted(found, key=lambda leak: (leak.origin, leak.place))


def redact(text: str, identity: Identity) -> str:
    """`text` with every value of `identity` replaced; for file names, where a word may be joined to others."""
    for word in sorted(identity.values, key=len, reverse=True):
        pattern = re.escape(word).replace(r"\ ", r"[\s_^-]+").replace(r"\^", r"[\s_^-]+")
        if len(word) <= 3 or word.isdigit():
            pattern = rf"(?<![^\W_]){pattern}(?![^\W_])"
        text = re.sub(pattern, "[removed]", text, flags=re.IGNORECASE)
    return text


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    """Every element that can be read, file meta and the inside of sequences included."""
    yield from getattr(dataset, "file_meta", None) or ()
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
        except BROKEN:
            continue
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)


def _identifying_values(element: DataElement) -> Iterable[str]:
    if element.VR == "PN":
        return [part for item in _items(element) for part in (*re.split(r"[\^=,\s]+", item), item, *item.split("="))]
    if element.VR == "UI":
        return [item for item in _items(element) if _names_an_instance(item, element.keyword)]
    if element.tag.is_private:
        names = NAME_LIKE.findall(_text(element))
        return [part for name in names for part in (*name.split("^"), name)]
    return _items(element) if IDENTIFYING.search(element.keyword) else []


def _names_an_instance(uid: str, keyword: str) -> bool:
    registered = UID(uid).name != uid
    return not registered and not re.search("ClassUID$|ImplementationVersion|TransferSyntax|CodingScheme", keyword)


def _telling(word: str) -> bool:
    if not word.strip(" ^.-_0") or word in ("anonymous", "anonymized", "unknown", "none", "removed"):
        return False
    if not word.isascii():
        return len(word) >= 2
    return len(word) >= (3 if word.isalpha() else 4)


def _in_element(element: DataElement, wanted: dict[str, str]) -> Iterator[str]:
    text = " ".join(_text(element).lower().split())
    if not text:
        return
    for word, origin in wanted.items():
        short_number = word.replace(".", "").isdigit() and len(word) < SUBSTRING
        if (word in text) and not (short_number and element.VR in (*NUMBERS, *BYTES)) and _begins_word(word, text):
            yield origin


def _begins_word(word: str, text: str) -> bool:
    if not word.isascii():
        return True
    before = r"(?<![a-z0-9.])" if word[0].isdigit() else r"(?<![a-z0-9])"
    after = r"(?![a-z0-9])" if len(word) < SUBSTRING else ""
    return re.search(before + re.escape(word) + after, text) is not None


def _in_bytes(word: str, content: bytes) -> bool:
    """Long values only, and not those of few different characters, which a plain patch of an image can spell."""
    return len(word) >= SUBSTRING and len(set(word)) >= 4 and word.encode("utf-8") in content


def _items(element: DataElement) -> list[str]:
    value = element.value
    if value is None or element.VR == "SQ":
        return []
    values = value if isinstance(value, (list, MultiValue)) else [value]
    return [str(item).strip().lower() for item in values]


def _text(element: DataElement) -> str:
    if element.tag in PIXELS:
        return ""
    if element.VR in BYTES and isinstance(element.value, bytes):
        return element.value.decode("latin-1")
    return "\n".join(_items(element)) if element.VR in (*TEXT, *NUMBERS) else ""


def _place(element: DataElement) -> str:
    return keyword_for_tag(element.tag) or f"private attribute {element.tag}"
