"""Whether a short text or a number tells of somebody who is in the same file: people type names and numbers anywhere.

The profile of PS3.15 leaves many short texts, such as Software Versions. Compared are the words of every person's name
at any depth, also joined (`NgLi`) and in other spellings (`Mueller`, `Muller`), and identifiers and dates of birth in
any spelling: `12-345-678` is `12345678`, `19440817` is `17.08.1944`.

Shares no code with `components/dicom/identity.py`, by which the result is checked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from components.dicom.defined_terms import TERMS, known_meaning, known_value
from components.dicom.person_names import words
from components.imaging.decoding import BROKEN

SHORT_TEXT = ("LO", "SH", "UC")
NUMBERS = ("DS", "IS")
IDENTIFYING = re.compile(
    r"PatientIDs?$|^IssuerOf|Accession|^StudyID$|AdmissionID|OrderNumber|Insurance|RecordLocator|MilitaryRank|"
    r"Institution(Name|Address|alDepartmentName)|StationName|SerialNumber|Address|Telephone|Birth(Date|Name)|"
    r"Organization|(Procedure|Step)ID$|Residence|Identification$"
)
MAKE = ("Manufacturer", "ManufacturerModelName")  # what a machine is called may be part of the other names
EQUIPMENT = re.compile("StationName|SerialNumber")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SHORTEST_NAME = 4  # letters of family and given name together
LONG = 8  # characters from which on an identifier counts in a number too
COMPACT = 6  # letters and digits from which on an identifier is found in another spelling
CARET = re.compile(r"(?<![^\W\d_])[^\W\d_]+(?:\^[^\W\d_]*)+")  # from where a word begins, for speed


@dataclass(frozen=True)
class Told:
    """What tells of somebody in a file, folded for comparison."""

    names: frozenset[str]  # words, each in every spelling
    joined: frozenset[str]  # whole names without what stands between their words
    parts: frozenset[str]  # of names outside ASCII: in many scripts no space stands between words
    identifiers: frozenset[str]
    compact: frozenset[str]  # identifiers and dates without what stands between their letters and digits


def told(original: Dataset) -> Told:
    """The names, identifiers and dates of birth of `original`, sequences and private attributes too."""
    read = list(_elements(original))
    names = [name for element in read for name in _names(element)]
    parts = {part for name in names for part in re.split(r"[\s^=,]+", _folded(name))}
    make = _called(read, MAKE)
    both = make + _called(read, ("SoftwareVersions",))
    identifiers: set[str] = set()
    compact: set[str] = set()
    for element in read:
        if IDENTIFYING.search(element.keyword):
            known = both if EQUIPMENT.search(element.keyword) else make
            values = {value for text in _texts(element) if (value := _folded(text)) and f" {value} " not in known}
            identifiers |= {value for value in values if len(value) >= (3 if value.isalpha() else 4)}
            compact |= {form for value in values for form in (_compact(value), *_dates(value))}
    return Told(
        frozenset(spelling for name in names for word in words(name) for spelling in _spellings(word)),
        frozenset(form for name in names for group in name.split("=") for form in _joined(group)),
        frozenset(part for part in parts if len(part) >= 2 and not part.isascii()),
        frozenset(identifiers),
        frozenset(form for form in compact if len(form) >= COMPACT and any(map(str.isdigit, form))),
    )


def tells(element: DataElement, vr: str, of: Told) -> bool:
    """Whether an element of the VR `vr` that may stay says anything of `of`, or says words where numbers belong."""
    if vr in NUMBERS:
        texts = _texts(element)
        return not all(map(_is_number, texts)) or any(text.startswith(_long(of.identifiers)) for text in texts)
    if vr not in SHORT_TEXT or IDENTIFYING.search(element.keyword) or _is_term(element):
        return False
    text = _folded("\n".join(_texts(element)))
    compact = {_compact(spelling) for spelling in _spellings(text)}
    if any(form in said for said in compact for form in (*of.compact, *of.joined)):
        return True
    spoken = {spelling for word in words(text) for spelling in _spellings(word)}
    inside = any(part in text for part in of.parts) or any(_stands_in(value, text) for value in of.identifiers)
    return inside or not of.names.isdisjoint(spoken)


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
        except BROKEN:
            continue
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)


def _names(element: DataElement) -> list[str]:
    """Names of persons: the tag decides, not the VR in the file; in private attributes what is written like a name."""
    if dictionary_has_tag(element.tag) and not element.tag.is_private:
        return _texts(element) if dictionary_VR(element.tag) == "PN" else []
    texts = _texts(element)
    return texts if element.VR == "PN" else [found for text in texts for found in CARET.findall(text)]


def _texts(element: DataElement) -> list[str]:
    value = element.value
    if value is None or element.VR == "SQ":
        return []
    if isinstance(value, bytes):
        return [value.decode("latin-1")]
    return [str(one) for one in (value if isinstance(value, (list, MultiValue)) else [value])]


def _called(read: list[DataElement], keywords: tuple[str, ...]) -> str:
    text = _folded(" ".join(text for element in read if element.keyword in keywords for text in _texts(element)))
    each = " ".join(re.findall(r"[^\W_]+", text))
    return f" {text} {each} "


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).replace("\0", " ").split())


def _spellings(text: str) -> set[str]:
    """`text`, folded already, as it is also written where a letter is missing on a keyboard."""
    plain = text.replace("\u0131", "i")
    as_two = plain.translate({0xE4: "ae", 0xF6: "oe", 0xFC: "ue", 0xE5: "aa", 0xF8: "oe", 0xE6: "ae"})
    letters = unicodedata.normalize("NFKD", plain.translate({0xF8: "o", 0xE6: "a", 0x111: "d", 0x142: "l"}))
    return {text, as_two, "".join(letter for letter in letters if not unicodedata.combining(letter))}


def _joined(group: str) -> Iterator[str]:
    """Family and given name of one component group, in both orders; and each alone where it has several words."""
    for spelling in _spellings(_folded(group)):
        components = spelling.split("^")[:2]
        parts = [part for component in components if (part := _compact(component))]
        yield from (_compact(one) for one in components if len(words(one)) > 1 and len(_compact(one)) >= COMPACT)
        if len(parts) == 2 and len("".join(parts)) >= SHORTEST_NAME:
            yield from ("".join(parts), "".join(reversed(parts)))


def _compact(text: str) -> str:
    return "".join(re.findall(r"[^\W_]", text))


def _dates(text: str) -> list[str]:
    """Other ways to write a date that DICOM writes as YYYYMMDD."""
    found = re.fullmatch(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)", text)
    if not found or not 1 <= int(found[2]) <= 12:
        return []
    year, month, day = found.groups()
    name = MONTHS[int(month) - 1]
    return [year + month + day, day + month + year, month + day + year, day + name + year, name + day + year]


def _long(identifiers: frozenset[str]) -> tuple[str, ...]:
    return tuple(value for value in identifiers if len(value) >= LONG)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)?", text.strip(" \t\r\n\0")) is not None


def _is_term(element: DataElement) -> bool:
    if element.keyword == "CodeMeaning":
        return known_meaning(str(element.value))
    return element.keyword in TERMS and known_value(element.keyword, str(element.value))


def _stands_in(value: str, text: str) -> bool:
    return value in text and re.search(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])", text) is not None
