"""De-identifies a DICOM data set: PS3.15 Annex E, Basic Application Level Confidentiality Profile, all the way down.

The table of attributes and actions (E.1-1) comes with the package dicom-anonymizer; walking the data set is done here,
because a name inside a sequence is a name too. Beyond the profile: private attributes, attributes that the dictionary
does not know, binary data that are no image, and free text, dates and names that the table forgot are removed; coded
attributes keep the standard's terms alone, and text that tells of somebody in the file is emptied
(`components/dicom/typed_text.py`). The tag decides what an attribute is, not the VR that a file gives it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import numpy as np
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
)

from components.dicom.defined_terms import known_value
from components.dicom.person_names import compared
from components.dicom.pixel_data import FLOATS, keep_pixels_alone
from components.dicom.typed_text import Told, tells, told
from components.imaging.decoding import BROKEN, UnreadableImage, one_line, with_remedy

EDITION = "2026c"
REMOVE, EMPTY, DUMMY, REPLACE_UID, KEEP = "X", "Z", "D", "U", "K"
# where the table offers a choice by the attribute's type in the IOD: what leaves no identity and stays valid
ACTIONS = {
    "X_TAGS": REMOVE,
    "X_D_TAGS": REMOVE,
    "X_Z_D_TAGS": DUMMY,
    "X_Z_TAGS": EMPTY,
    "Z_TAGS": EMPTY,
    "Z_D_TAGS": DUMMY,
    "D_TAGS": DUMMY,
    "U_TAGS": REPLACE_UID,
    "X_Z_U_STAR_TAGS": KEEP,  # sequences of references: kept, their UIDs replaced like all others
}
FREE = ("PN", "LT", "ST", "UT", "UR", "DA", "DT", "TM", "AE", "UN")  # removed where the table says nothing
DUMMIES = {"DA": "19000101", "DT": "19000101000000", "TM": "000000", "AS": "000Y", "IS": "0", "DS": "0"}
TEXT = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
DROPPED_GROUPS = (0x0000, 0x0002, 0x0004, 0xFFFA, 0xFFFC)
PIXEL_DATA = BaseTag(0x7FE00010)
BINARY = ("OB", "OW", "OF", "OD", "OL", "OV")
BINARY_KEPT = re.compile(
    r"PixelData$|ExtendedOffsetTable|^(Segmented)?(Red|Green|Blue)PaletteColorLookupTableData$|^LUTData$"
)
WHOLE_NUMBERS, DECIMALS = ("US", "SS", "UL", "SL", "UV", "SV"), ("FL", "FD")
WORD_BYTES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}


class Pseudonyms:
    """Replaces identifiers, always the same way for the same salt; without the salt nobody can go back or compare."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def patient(self, *identifiers: str) -> str:
        """`P` and 12 hexadecimal digits."""
        return "P" + self._digest("patient", *identifiers).hex()[:12]

    def file(self, source: str, name: str) -> str:
        """`F` and 12 hexadecimal digits, for the file `name` of `source`: its name may tell who is in it."""
        return "F" + self._digest("file", source, name).hex()[:12]

    def uid(self, original: str) -> str:
        """A UID under 2.25; one that the standard registers stays, because it names no instance."""
        if not original or UID(original).name != original:
            return original
        return f"2.25.{int.from_bytes(self._digest('uid', original)[:16], 'big')}"

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._salt, "\0".join(parts).encode("utf-8", "surrogateescape"), hashlib.sha256)


def deidentify(original: Dataset, pseudonyms: Pseudonyms, name: str = "image") -> FileDataset:
    """A new data set without identity, the same pixels, always little endian; `original` is left as it is.

    Nothing but the pixels stays in the pixel data (`components/dicom/pixel_data.py`). What a pixel shows is not looked
    at: see `components/dicom/burned_in.py`. `name` is for messages. Raises `UnreadableImage` where it cannot be told
    what belongs to the image.
    """
    result = FileDataset("", {}, preamble=b"\0" * 128, file_meta=_file_meta(original, pseudonyms))
    try:
        result.update(_without_identity(original, _File(original, pseudonyms, told(original))))
        keep_pixels_alone(result)
    except BROKEN as error:
        raise UnreadableImage(name, with_remedy(f"pixels cannot be decoded: {one_line(error)}")) from error
    if not result.get("SpecificCharacterSet", "none"):  # it was none of the standard's
        result.SpecificCharacterSet = "ISO_IR 192"
    result.PatientID = result.PatientName = patient_pseudonym(original, pseudonyms)
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = f"Basic Application Confidentiality Profile, PS3.15 {EDITION}"
    result.LongitudinalTemporalInformationModified = "REMOVED"
    result.pop("DeidentificationMethodCodeSequence", None)  # what another program says it did is not known to be done
    add_method(result, "113100", "Basic Application Confidentiality Profile")
    return result


def add_method(dataset: Dataset, code: str, meaning: str) -> None:
    """Says in the header what was done (CID 7050)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
    dataset.DeidentificationMethodCodeSequence = [*(dataset.get("DeidentificationMethodCodeSequence") or []), item]


def patient_pseudonym(original: Dataset, pseudonyms: Pseudonyms) -> str:
    """One pseudonym a person: from ID and issuer, else from the name as PS3.5 compares names, else one a study."""
    number, issuer = str(original.get("PatientID") or ""), str(original.get("IssuerOfPatientID") or "")
    name = compared(str(original.get("PatientName") or ""))
    if number.strip():
        return pseudonyms.patient("id", number.strip(), issuer.strip())
    if name:
        return pseudonyms.patient("name", name)
    return pseudonyms.patient("study", str(original.get("StudyInstanceUID") or original.get("SOPInstanceUID") or ""))


def action(tag: BaseTag) -> str | None:
    """What table E.1-1 says of an attribute; None where it says nothing."""
    exact, masked = _table()
    found = exact.get(tag)
    if found is not None:
        return found
    return next((does for value, mask, does in masked if tag & mask == value & mask), None)


@cache
def _table() -> tuple[dict[int, str], list[tuple[int, int, str]]]:
    module = import_module(f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{EDITION}")
    exact: dict[int, str] = {}
    masked: list[tuple[int, int, str]] = []
    for category, does in ACTIONS.items():
        for group, element, *mask in getattr(module, category):
            if mask:
                masked.append((group << 16 | element, mask[0] << 16 | mask[1], does))
            else:
                exact[group << 16 | element] = does
    exact[tag_for_keyword("ReferencedStudySequence") or 0] = REMOVE  # optional, but not allowed to be empty
    return exact, masked


@dataclass(frozen=True)
class _File:
    """What holds for all of a file, at any depth."""

    root: Dataset
    pseudonyms: Pseudonyms
    people: Told  # what tells of them


def _file_meta(original: Dataset, pseudonyms: Pseudonyms) -> FileMetaDataset:
    meta = FileMetaDataset()
    syntax = UID(original.file_meta.TransferSyntaxUID)
    rewritten = syntax in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if rewritten else syntax
    meta.MediaStorageSOPClassUID = UID(original.get("SOPClassUID", ""))
    meta.MediaStorageSOPInstanceUID = UID(pseudonyms.uid(str(original.get("SOPInstanceUID", ""))))
    return meta


def _without_identity(dataset: Dataset, file: _File) -> Dataset:
    result = Dataset()
    for element in _readable(dataset):
        kept = _kept(element, file)
        if kept is not None:
            result.add(kept)
    return result


def _readable(dataset: Dataset) -> Iterator[DataElement]:
    """Elements that may stay at all. One that cannot be read cannot be vouched for, so it goes too."""
    for tag in sorted(dataset.keys()):
        curve_or_overlay = tag.group & 0xFF00 in (0x5000, 0x6000)
        if tag.is_private or tag.element == 0 or tag.group in DROPPED_GROUPS or curve_or_overlay:
            continue
        if not dictionary_has_tag(tag):
            continue
        try:
            yield dataset[tag]
        except BROKEN:
            continue


def _kept(element: DataElement, file: _File) -> DataElement | None:
    vr = _vr(element)
    does, sequence = action(element.tag), vr == "SQ"
    if does == REMOVE or (does is None and vr in FREE) or (does == DUMMY and sequence):
        return None  # a sequence's items say who or where in codes, for which there is no dummy
    if does == EMPTY:
        return DataElement(element.tag, vr, [] if sequence else None)
    if does == DUMMY and vr != "UI":
        return DataElement(element.tag, vr, DUMMIES.get(vr, "REMOVED" if vr in TEXT else None))
    if vr != element.VR:
        return _under_its_vr(element, vr, file)
    if sequence:
        items = [_without_pixels(_without_identity(item, file)) for item in element.value]
        return DataElement(element.tag, "SQ", Sequence(items))
    if vr == "UI" and (does in (REPLACE_UID, DUMMY) or not _names_a_class(element)):
        return _uids_replaced(element, file.pseudonyms)
    if vr.startswith(BINARY) and not BINARY_KEPT.search(element.keyword):
        return None
    if tells(element, vr, file.people):
        return DataElement(element.tag, vr, None)
    return _terms_alone(element) if vr == "CS" else _little_endian(element, file.root)


def _without_pixels(item: Dataset) -> Dataset:
    """An item of a sequence without an image of its own, such as an icon: nobody has looked at it."""
    for keyword in ("PixelData", *FLOATS, "ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        item.pop(keyword, None)
    return item


def _vr(element: DataElement) -> str:
    """The VR that the dictionary gives to the tag; the file's where that is one of several."""
    of_tag = dictionary_VR(element.tag)
    among = element.VR in (of_tag, *of_tag.split(" or "))
    return str(element.VR) if among else of_tag.split(" or ")[0]


def _under_its_vr(element: DataElement, vr: str, file: _File) -> DataElement | None:
    """An element that its file wrote under a wrong VR, treated as what it is; None where its value does not fit."""
    value = element.value
    if "SQ" in (vr, element.VR) or isinstance(value, bytes) or vr.startswith(BINARY):
        return None
    texts = list(value) if isinstance(value, (list, MultiValue)) else ("" if value is None else str(value)).split("\\")
    convert: type = int if vr in WHOLE_NUMBERS else float if vr in DECIMALS else str
    try:
        values = [convert(str(text).strip()) for text in texts if str(text).strip()]
        return _kept(DataElement(element.tag, vr, values[0] if len(values) == 1 else values or None), file)
    except BROKEN:
        return None


def _terms_alone(element: DataElement) -> DataElement:
    """A coded attribute with its unknown values emptied; the others keep their places."""
    values = [element.value] if isinstance(element.value, str) else list(element.value or [])
    terms = [value if known_value(element.keyword, str(value)) else "" for value in values]
    if not any(terms):
        return DataElement(element.tag, "CS", None)
    return DataElement(element.tag, "CS", terms[0] if len(terms) == 1 else terms)


def _names_a_class(element: DataElement) -> bool:
    """A UID that names no instance; text in its place may name anybody."""
    values = [element.value] if isinstance(element.value, str) else list(element.value or [])
    kind = element.keyword.endswith(("ClassUID", "TransferSyntaxUID", "CodingSchemeUID"))
    return kind and all(UID(str(value)).is_valid for value in values)


def _uids_replaced(element: DataElement, pseudonyms: Pseudonyms) -> DataElement:
    values = [element.value] if isinstance(element.value, str) else list(element.value or [])
    replaced = [pseudonyms.uid(str(value)) for value in values]
    return DataElement(element.tag, "UI", replaced[0] if len(replaced) == 1 else replaced)


def _little_endian(element: DataElement, root: Dataset) -> DataElement:
    """`element` with its words swapped where the file is big endian; pydicom leaves the bytes of OW as they are."""
    copied = DataElement(element.tag, element.VR, element.value, already_converted=True)
    copied.is_undefined_length = element.is_undefined_length
    big = root.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    if big and element.VR in WORD_BYTES and element.value:
        size = WORD_BYTES[element.VR]
        if element.tag == PIXEL_DATA:
            size = max(size, int(root.BitsAllocated) // 8)
        copied.value = np.frombuffer(element.value, f">u{size}").astype(f"<u{size}").tobytes()
    return copied
