"""The attributes that this program reads, each in the kind that the data dictionary (PS3.6) gives it.

pydicom converts a value when it is asked for, not when the file is read, and raises whatever the conversion raises. So
every attribute that is read later is asked for once, here: what is of another kind is refused by its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from pydicom.datadict import dictionary_description, dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from components.imaging.decoding import BROKEN, REMEDY, FaultyFile

UNREADABLE = "bytes that its value representation cannot hold"
COLOURS = ("Red", "Green", "Blue")
FLOAT_PADDING = (
    "FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit",
)  # fmt: skip
REGION = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
READ = (
    # SOP common (PS3.3 C.12.1), study, series and general image (C.7.2 to C.7.6.1)
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "InstanceNumber",
    "BurnedInAnnotation", "LossyImageCompression", "SourceImageSequence", "ReferencedSOPInstanceUID",
    "ContributingEquipmentSequence", "DeidentificationMethodCodeSequence", "ImageType", "SeriesDescription",
    "ConversionType",
    # image pixel (C.7.6.3), multi-frame (C.7.6.6) and padding (C.7.5.1.1.2)
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    *FLOAT_PADDING, *(f"{colour}PaletteColorLookupTableDescriptor" for colour in COLOURS),
    # modality LUT (C.11.1), functional groups (C.7.6.16.2), image plane (C.7.6.2), ultrasound regions (C.8.5.5)
    "ModalityLUTSequence", "LUTDescriptor", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelValueTransformationSequence",
    "PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence",
    "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "SequenceOfUltrasoundRegions", *REGION,
)  # fmt: skip
WHOLE, DECIMAL = ("US", "SS", "UL", "SL", "IS", "US or SS"), ("DS", "FL", "FD")
TEXT = ("AE", "AS", "CS", "DS", "IS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UT")  # VRs whose values are characters
# text that is replaced or copied byte for byte: of these the VR is looked at, and the value is left unread
UNREAD = ("PatientID", "IssuerOfPatientID", "PatientName")
TAGS = {BaseTag(tag_for_keyword(keyword) or 0): keyword for keyword in READ}


def check(dataset: Dataset) -> None:
    """Brings every attribute of `READ` in `dataset`, and in its sequences, to the VR of the dictionary, in place.

    An attribute without a value stays. Raises `FaultyFile` naming the first one that has a value of another kind or
    another number of values.
    """
    for tag in sorted(TAGS.keys() & dataset.keys()):
        element = _element(dataset, tag)
        values = _values(element)
        if not values and element.value is not None:
            dataset[tag] = DataElement(tag, element.VR, None)  # pydicom gives an empty text for some
        _check_values(tag, values, element)
        if dictionary_VR(tag) == "SQ":
            for item in values:
                check(item)
    for keyword in UNREAD:
        if keyword in dataset:
            _check_text(dataset, BaseTag(tag_for_keyword(keyword) or 0))


def require(dataset: Dataset, *keywords: str) -> None:
    """Raises `FaultyFile` naming every one of the attributes that `dataset` lacks, or has without a value."""
    lacking = [keyword for keyword in keywords if not (keyword in dataset and _values(dataset[keyword]))]
    if lacking:
        names = " and ".join(named(tag_for_keyword(keyword) or 0) for keyword in lacking)
        raise FaultyFile(f"expected {names}, found none. {REMEDY}")


def named(tag: int) -> str:
    """The attribute's name and number: `Pixel Spacing (0028,0030)`."""
    return f"{dictionary_description(tag)} {BaseTag(tag)}"


def _element(dataset: Dataset, tag: BaseTag) -> DataElement:
    read: Any = None
    try:
        read = dataset.get_item(tag)
        _read_as_text(dataset, tag)
        return dataset[tag]
    except BROKEN as error:
        unknown = isinstance(read, RawDataElement) and read.VR not in VR.__members__.values()
        found = f"the value representation {read.VR}, which is none of the standard's" if unknown else UNREADABLE
        raise FaultyFile(_misfit(tag, found)) from error


def _check_text(dataset: Dataset, tag: BaseTag) -> None:
    _read_as_text(dataset, tag)
    read: Any = dataset.get_item(tag)
    if read.VR not in (*TEXT, "UN", None):
        raise FaultyFile(_misfit(tag, "a value representation that holds no text"))


def _read_as_text(dataset: Dataset, tag: BaseTag) -> None:
    """Gives an element the VR of the dictionary where the file says another that holds characters too."""
    vr = dictionary_VR(tag)
    read: Any = dataset.get_item(tag)  # raw, where nobody asked for it yet
    if vr in TEXT and read.VR in TEXT and vr != read.VR:
        if isinstance(read, RawDataElement):
            dataset[tag] = read._replace(VR=vr)
        elif isinstance(read.value, str):
            dataset[tag] = DataElement(tag, vr, read.value)


def _values(element: DataElement) -> list[Any]:
    """Empty where there is no value, or an empty text."""
    value = element.value
    if isinstance(value, (MultiValue, Sequence, list, tuple)):
        return list(value)
    return [] if value is None or value == b"" or (isinstance(value, str) and not value.strip()) else [value]


def _check_values(tag: BaseTag, values: list[Any], element: DataElement) -> None:
    if dictionary_VR(tag) == "SQ":
        if values and not isinstance(element.value, Sequence):
            raise FaultyFile(_misfit(tag, "another kind of value"))
        return
    wrong = "a sequence" if isinstance(element.value, Sequence) else next(_faults(tag, values), None)
    if wrong:
        raise FaultyFile(_misfit(tag, wrong))
    many = dictionary_VM(tag)
    if values and many.isdigit() and len(values) != int(many):
        raise FaultyFile(_misfit(tag, "one value" if len(values) == 1 else f"{len(values)} values"))


def _faults(tag: BaseTag, values: list[Any]) -> Iterator[str]:
    vr = dictionary_VR(tag)
    for value in values:
        if vr in WHOLE or vr in DECIMAL:
            if isinstance(value, (str, bytes)):
                yield _kind(value)
            elif not _is_number(value):
                yield "another kind of value"
            elif not math.isfinite(value) and TAGS[tag] not in FLOAT_PADDING:
                yield "a value that is not finite"
            elif vr in WHOLE and value != int(value):
                yield "a fraction"
        elif not isinstance(value, str):
            yield "another kind of value"


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]  # whatever pydicom gives: its own numbers, or none
    except (TypeError, ValueError):
        return False
    return True


def _kind(content: str | bytes) -> str:
    """What kind of text stands where numbers should; never the text itself, which can be a name."""
    text = content.decode("latin-1") if isinstance(content, bytes) else content
    if not text.strip(" \0"):
        return "an empty value"
    if re.fullmatch(r"[\d\s.,\\+-]*\d,\d[\d\s.,\\+-]*\0*", text):
        return "a decimal comma"
    return "a number written as text" if text.strip(" \0+-").isdigit() else "text that is not a number"


def _misfit(tag: BaseTag, found: str) -> str:
    return f"{named(tag)}: expected {_expected(tag)}, found {found}. {REMEDY}"


def _expected(tag: BaseTag) -> str:
    vr, many = dictionary_VR(tag), dictionary_VM(tag)
    if vr == "SQ":
        return "a sequence"
    kind = "whole number" if vr in WHOLE else "number with a decimal point" if vr in DECIMAL else "value of text"
    first, _, rest = kind.partition(" ")
    plural = f"{first}s {rest}".strip() if first in ("number", "value") else f"{first} {rest}s"
    return f"one {kind}" if many == "1" else f"{many} {plural}"
