"""What a DICOM object is where it is no picture of a body: told by its modality and its SOP class (PS3.6 annex A)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

BY_MODALITY = {  # may have pixel data, but no picture of a body
    "SEG": "a segmentation",
    "RTDOSE": "a radiotherapy dose grid",
    "RTSTRUCT": "radiotherapy structures",
    "RTPLAN": "a radiotherapy plan",
    "RTRECORD": "a radiotherapy record",
    "PR": "a presentation state",
    "KO": "a key object selection",
    "SR": "a structured report",
    "REG": "a registration",
    "FID": "a set of fiducials",
    "RWV": "a mapping to real-world values",
}
# image classes whose registered names do not say Image: their pixels measure the body
IMAGES = (
    "1.2.840.10008.5.1.4.1.1.6.2",  # Enhanced US Volume Storage
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map Storage
    "1.2.840.10008.5.1.4.1.1.81.1",  # Ophthalmic Thickness Map Storage
    "1.2.840.10008.5.1.4.1.1.82.1",  # Corneal Topography Map Storage
)


def not_an_image(dataset: Dataset) -> str | None:
    """What `dataset` is instead of an image, in plain words; None where nothing says that it is none.

    A SOP class that the standard does not register, such as a manufacturer's, says nothing.
    """
    kind = BY_MODALITY.get(str(dataset.get("Modality") or ""))
    sop_class = UID(str(dataset.get("SOPClassUID") or ""))
    if kind or sop_class in IMAGES or sop_class.type != "SOP Class" or "Image" in sop_class.name:
        return kind
    return f"an object of the SOP class {sop_class.name}"
