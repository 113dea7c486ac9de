"""What of a DICOM file as it came tells who was imaged, by whom and where.

Parts of every person's name, identifiers, birth dates, institutions, addresses, telephone numbers and the UIDs of its
instances, in sequences and private attributes too. The tag decides what an attribute is, not the VR that the file gives
it. Where bytes are not ASCII they are read in common character sets too, because many files declare none, or a wrong
one (PS3.5 annexes H to K). Words are compared after Unicode normalisation (NFKC) and case folding.

`components/dicom/leak_scan.py` looks for them in the file as written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID

from components.imaging.decoding import BROKEN

IDENTIFYING = re.compile(
    r"Patient(ID|BirthDate|BirthName|MotherBirthName|Address|TelephoneNumbers|InsurancePlan.*)$|OtherPatientIDs|"
    r"MedicalRecordLocator|MilitaryRank|IssuerOfPatientID$|AccessionNumber|^StudyID$|AdmissionID|"
    r"(Placer|Filler)OrderNumber|InstitutionName|InstitutionAddress|InstitutionalDepartmentName|StationName|"
    r"DeviceSerialNumber|Physician.*(Address|TelephoneNumbers|Identification)|PersonAddress|PersonTelephone|"
    r"ResponsibleOrganization|RequestedProcedureID|ScheduledProcedureStepID|PerformedProcedureStepID|CountryOfResidence"
)
MAKE = ("Manufacturer", "ManufacturerModelName")
EQUIPMENT = ("StationName", "DeviceSerialNumber")  # its name may be part of what its maker calls it
VERSIONS = "SoftwareVersions"
# dates and numbers that stand for an unknown one; the first is also what de-identification writes
PLACEHOLDERS = re.compile(
    r"19000101\d*|1[67]000101|17530101|18000101|18581117|18991230|19010101|19700101|(\d)\1+|"
    r"00010101|99991231|anonym\w*|unknown|none|null|removed|n/a|no\W?name|test"
)
CHARACTER_SETS = (
    "utf-8", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7",
    "iso8859-9", "cp1251", "koi8_r",
)  # fmt: skip
BYTES = ("OB", "OW", "UN")
# from the beginning of a word on: binary data may have a million letters in a row, such as white pixels
NAME_LIKE = re.compile(r"(?<![^\W\d_])[^\W\d_]+(?:\^[^\W\d_]*)+")


@dataclass(frozen=True)
class Identity:
    """What may be left nowhere: each value as `plain` gives it, with the attribute it came from."""

    values: dict[str, str]


def plain(text: str) -> str:
    """`text` as it is compared: normalised, case folded, one space between words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).replace("\0", " ").split())


def collect(original: Dataset) -> Identity:
    """Every value in `original` that tells who was imaged, by whom and where."""
    values: dict[str, str] = {}
    read = list(elements(original))
    make = _names_of_make(read, MAKE)
    make_and_version = _names_of_make(read, (*MAKE, VERSIONS))
    for element, encoded in read:
        place = place_of(element)
        known = make_and_version if place in EQUIPMENT else make
        for value in _identifying_values(element, encoded):
            word = plain(value)
            if _telling(word) and f" {word} " not in known:
                values.setdefault(word, place)
    return Identity(values)


def collect_file(path: Path) -> Identity:
    """As `collect`, from whatever can be read of a file's header; empty where nothing can."""
    try:
        return collect(dcmread(path, force=True, stop_before_pixels=True))
    except BROKEN:
        return Identity({})


def redact(text: str, identity: Identity) -> str:
    """`text` with every value of `identity` replaced; for what a library says of a file, which may quote it."""
    for word in sorted(identity.values, key=len, reverse=True):
        pattern = re.escape(word).replace(r"\ ", r"[\s_^-]+").replace(r"\^", r"[\s_^-]+")
        if len(word) <= 3 or word.isdigit():
            pattern = rf"(?<![^\W_]){pattern}(?![^\W_])"
        text = re.sub(pattern, "[removed]", text, flags=re.IGNORECASE)
    return text


def elements(dataset: Dataset) -> Iterator[tuple[DataElement, bytes]]:
    """Every element that can be read, file meta and the inside of sequences included, with its bytes where known."""
    yield from ((element, b"") for element in getattr(dataset, "file_meta", None) or ())
    for tag in sorted(dataset.keys()):
        try:
            raw = dataset.get_item(tag)
            element = dataset[tag]
        except BROKEN:
            continue
        yield element, raw.value or b"" if isinstance(raw, RawDataElement) else b""
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def readings(text: str, encoded: bytes) -> list[str]:
    """`text`, and what its bytes say in other character sets where they are not ASCII."""
    if not encoded and not text.isascii() and all(ord(character) < 256 for character in text):
        encoded = text.encode("latin-1")  # what pydicom reads where no character set is declared
    if not encoded or encoded.isascii():
        return [text]
    return [text, *(read for name in CHARACTER_SETS if (read := _decoded(encoded, name)))]


def items(element: DataElement) -> list[str]:
    """The values of an element as text; none for a sequence."""
    value = element.value
    if value is None or element.VR == "SQ":
        return []
    if isinstance(value, bytes):
        return [value.decode("latin-1")]
    values = value if isinstance(value, (list, MultiValue)) else [value]
    return [str(item).strip() for item in values]


def vr_of(element: DataElement) -> str:
    """The VR that the dictionary gives to the tag, or else the file's."""
    if element.tag.is_private or not dictionary_has_tag(element.tag):
        return str(element.VR)
    of_tag = dictionary_VR(element.tag)
    return str(element.VR) if " or " in of_tag else of_tag


def place_of(element: DataElement) -> str:
    """The keyword of an attribute, for messages."""
    return keyword_for_tag(element.tag) or f"private attribute {element.tag}"


def _decoded(encoded: bytes, character_set: str) -> str:
    try:
        return encoded.decode(character_set)
    except UnicodeDecodeError:
        return ""


def _names_of_make(read: Iterable[tuple[DataElement, bytes]], keywords: Iterable[str]) -> str:
    """What the machine is called, and each word of that, between spaces: `TOSHIBA_MEC` has the word TOSHIBA."""
    text = plain(" ".join(item for element, _ in read if element.keyword in keywords for item in items(element)))
    words = re.findall(r"[^\W_]+", text)
    return f" {text} {' '.join(words)} "


def _identifying_values(element: DataElement, encoded: bytes) -> Iterable[str]:
    vr = vr_of(element)
    if vr == "PN":
        names = [name for item in items(element) for name in readings(item, b"")]
        names += [name for name in readings("", encoded) if name] if not encoded.isascii() else []
        return [part for name in names for part in (*re.split(r"[\^=,\s]+", name), name, *name.split("="))]
    if vr == "UI":
        return [item for item in items(element) if _names_an_instance(item, element.keyword)]
    if element.tag.is_private:
        names = NAME_LIKE.findall("\n".join(items(element)))
        return [part for name in names for part in (*name.split("^"), name)]
    if not IDENTIFYING.search(element.keyword):
        return []
    return [value for item in items(element) for value in readings(item, encoded)]


def _names_an_instance(uid: str, keyword: str) -> bool:
    registered = UID(uid).name != uid or PYDICOM_IMPLEMENTATION_UID.startswith(uid)  # the second is in what is written
    return not registered and not re.search("ClassUID$|ImplementationVersion|TransferSyntax|CodingScheme", keyword)


def _telling(word: str) -> bool:
    if not word.strip(" ^.-_0") or PLACEHOLDERS.fullmatch(word):
        return False
    if not word.isascii():
        return len(word) >= 2
    return len(word) >= (3 if word.isalpha() else 4)
