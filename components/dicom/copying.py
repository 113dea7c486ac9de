"""What an enlargement takes over from its source's header: all that stays true of it, text byte for byte."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from pydicom import uid
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_PN, write_text
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, VR

# what was true of the source's pixels or bytes alone, or of it as a part of something that the result is no part of
NOT_CARRIED = (
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "IconImageSequence",
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "InstanceCreatorUID", "DigitalSignaturesSequence", "MACParametersSequence", "DataSetTrailingPadding",
    # Parts of a concatenation are alike but for their frames (PS3.3 C.7.6.16.2.2.4). Enlarged ones are not: each names
    # the part that it was made from, and another model may have made the next. So each is an image of its own.
    "ConcatenationUID", "SOPInstanceUIDOfConcatenationSource", "InConcatenationNumber", "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
)  # fmt: skip
PIXEL_DATA = 0x7FE00010  # copied by nobody: it may be a gigabyte, and is replaced anyway
NO_PART = (0x0000, 0x0002, 0xFFFE)  # of a data set: what is read where a file is filled up behind its last element
WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
PADDING = b" \0"

Charset = str | list[str] | None  # Specific Character Set


def copy_header(source: Dataset) -> FileDataset:
    """Everything that stays true of an enlargement; overlays (60xx) and curves (50xx) lie on the old grid and go.

    A patient has to be found again under the same bytes: text that does not fit the character set it is said to be in
    stays as it was read.
    """
    image = FileDataset("", {}, preamble=b"\0" * 128, file_meta=FileMetaDataset())
    charset = source.get("SpecificCharacterSet")
    swapped = getattr(source, "file_meta", Dataset()).get("TransferSyntaxUID") == uid.ExplicitVRBigEndian
    for tag in [tag for tag, _ in source.items() if tag != PIXEL_DATA]:
        if tag.group & 0xFF00 not in (0x5000, 0x6000) and tag.group not in NO_PART:
            read = source.get_item(tag)  # as bytes, where nobody asked for it yet
            element = deepcopy(source[tag])
            _carry(element, read, charset, swapped)
            image.add(element)
    for keyword in NOT_CARRIED:
        image.pop(keyword, None)
    return image


def _carry(element: DataElement, read: DataElement | RawDataElement, charset: Charset, swapped: bool) -> None:
    """Looks at every element below, which decodes it: what stays raw would be written in the source's byte order."""
    if element.VR == VR.SQ:
        for item in element.value:
            own = item.get("SpecificCharacterSet", charset)
            for tag in list(item.keys()):
                below = item.get_item(tag)
                _carry(item[tag], below, own, swapped)
    elif swapped and element.VR in WORD_BYTES and element.value:
        # word-wise byte strings keep the file's byte order in memory, whatever the file's transfer syntax
        words = np.frombuffer(element.value, dtype=f">u{WORD_BYTES[element.VR]}")
        element.value = words.astype(words.dtype.newbyteorder("<")).tobytes()
    elif element.VR in CUSTOMIZABLE_CHARSET_VR and isinstance(read, RawDataElement):
        before = read.value or b""
        if _written(element, charset).rstrip(PADDING) != before.rstrip(PADDING):
            element.value = before


def _written(element: DataElement, charset: Charset) -> bytes:
    stream = DicomBytesIO()
    write = write_PN if element.VR == VR.PN else write_text
    write(stream, element, convert_encodings(charset))
    return stream.getvalue()
