"""Which images may show text or a face in their pixels, told from their header.

Any of these is enough: the image says so itself, its SOP class or modality is of a kind that is photographed, scanned
or labelled by its machine, or it is a saved screen. Modality and SOP class are asked independently, because either may
be empty or wrong. SOP classes: PS3.4 table B.5-1 and, for retired ones, PS3.6 annex A. Modalities: PS3.3 C.7.3.1.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

STORAGE = "1.2.840.10008.5.1.4.1.1."
# ultrasound: multi-frame and single-frame, both also retired, enhanced volume, photoacoustic
ULTRASOUND_CLASSES = ("3", "3.1", "6", "6.1", "6.2", "6.3")
# US, IVUS and bone densitometry; echocardiography and duplex Doppler are retired
ULTRASOUND_MODALITIES = ("US", "IVUS", "BDUS", "EC", "DD")
# secondary capture, all kinds; intravascular optical coherence tomography; visible light: endoscopy, microscopy,
# photography, video, ophthalmology, dermoscopy; ophthalmic maps and en face images; encapsulated documents
PICTURED_CLASSES = ("7", "14", "77", "81", "104")
HARD_COPIES = ("1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30")
# what is photographed, scanned or printed; the second line is retired
PICTURED_MODALITIES = (
    "XC", "GM", "SM", "DMS", "ES", "OT", "OP", "OPT", "OPM", "OPTBSV", "OPTENF", "OPV", "OCT", "IVOCT", "DOC", "HC",
    "CP", "CS", "LP", "FS", "FA", "DM", "VF",
)  # fmt: skip
# Screens that workstations and scanners save under the class of CT or MR, by words of Image Type: known from the public
# rules of the RSNA's CTP, of deid and of the Cancer Imaging Archive. LOCALIZER is no such word: a scout is an image.
SCREEN_WORDS = re.compile(
    r"SCREEN|\bSAVED?\b|CAPTURE|SNAPSHOT|\bDOSE|REPORT|PROTOCOL|DEMOGRAPHIC|HARDCOPY|\bSUMMARY\b|\bCSA BLACK IMAGE\b|"
    r"CSAPARALLEL|\bCSA AVI\b|\bVXTL STATE\b|\bPRINT\b|\bINVALID\b|\bPHOTO\b|\bWORKSHEET\b|\bGRAPH\b|\bTABLE\b"
)
SCREEN_SERIES = re.compile(
    r"DOSE (REPORT|INFO|RECORD|SUMMARY)|PATIENT PROTOCOL|SCREEN ?(SAVE|SHOT|CAPTURE)|NOMINATION FORM|AVA REPORT"
)
# digitised or captured films, documents and video, and drawings (Conversion Type, PS3.3 C.8.6.1)
CONVERTED = ("DV", "DI", "DF", "SD", "SI", "DRW")


def suspicion(dataset: Dataset) -> str | None:
    """Why text or a face may be in the pixels; None where nothing says so."""
    if "YES" in _values(dataset, "BurnedInAnnotation"):
        return "its header says so: Burned In Annotation is YES"
    if is_ultrasound(dataset):
        return "ultrasound without a region smaller than the image"
    if _is_pictured(dataset):
        return "a secondary capture or photograph"
    if _is_screen(dataset):
        return "a saved screen, says its Image Type or Series Description"
    if set(_values(dataset, "ConversionType")) & {*CONVERTED}:
        return "digitised from a film, document or video, says its Conversion Type"
    if not any(_values(dataset, "Modality")) and not _is_standard_storage(dataset):
        return "neither its Modality nor its SOP class says how it was taken"
    return None


def is_ultrasound(dataset: Dataset) -> bool:
    """Whether an ultrasound machine made the image, by SOP class or modality."""
    stored_as = str(dataset.get("SOPClassUID") or "")
    by_class = stored_as in {STORAGE + ending for ending in ULTRASOUND_CLASSES}
    return by_class or bool(set(_values(dataset, "Modality")) & {*ULTRASOUND_MODALITIES})


def _is_pictured(dataset: Dataset) -> bool:
    stored_as = str(dataset.get("SOPClassUID") or "")
    of_a_kind = any(f"{stored_as}.".startswith(f"{STORAGE}{ending}.") for ending in PICTURED_CLASSES)
    return of_a_kind or stored_as in HARD_COPIES or bool(set(_values(dataset, "Modality")) & {*PICTURED_MODALITIES})


def _is_screen(dataset: Dataset) -> bool:
    types = " ".join(value.replace("_", " ") for value in _values(dataset, "ImageType"))
    described = " ".join(re.sub(r"[\s_-]+", " ", value) for value in _values(dataset, "SeriesDescription"))
    return bool(SCREEN_WORDS.search(types) or SCREEN_SERIES.search(described))


def _is_standard_storage(dataset: Dataset) -> bool:
    stored_as = UID(str(dataset.get("SOPClassUID") or ""))
    return stored_as.startswith(STORAGE) and stored_as.name != stored_as


def _values(dataset: Dataset, keyword: str) -> list[str]:
    value = dataset.get(keyword)
    several: Iterable[object] = value if isinstance(value, (list, MultiValue)) else [value]
    return [str(item or "").strip().upper() for item in several]
