from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from components.dicom.suspicious import is_ultrasound, suspicion
from tests.drawing import dicom

STORED = np.zeros((9, 9), np.uint16)
RETIRED_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6"


@pytest.mark.parametrize("modality", ["", "CT", None])
@pytest.mark.parametrize(
    "stored_as",
    [
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
        uid.EnhancedUSVolumeStorage,
        RETIRED_ULTRASOUND,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
        uid.VLPhotographicImageStorage,
        uid.VideoEndoscopicImageStorage,
        uid.OphthalmicPhotography8BitImageStorage,
        uid.VLWholeSlideMicroscopyImageStorage,
        uid.IntravascularOpticalCoherenceTomographyImageStorageForPresentation,
        uid.EncapsulatedPDFStorage,
        "1.2.840.10008.5.1.1.30",
    ],
)
def test_the_sop_class_tells_whatever_the_modality_says(stored_as: str, modality: str | None) -> None:
    assert suspicion(dicom(STORED, "CT", SOPClassUID=stored_as, Modality=modality))


@pytest.mark.parametrize("modality", ["US", "IVUS", "XC", "ES", "OT", "OP", "SM", "DOC", "HC", "us "])
def test_the_modality_tells_whatever_the_sop_class_says(modality: str) -> None:
    assert suspicion(dicom(STORED, "CT", Modality=modality))


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN_SAVE"]},
        {"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CSA REPORT"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR", "CSAPARALLEL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]},
        {"ImageType": ["DERIVED", "SECONDARY", "REPORTDATA"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 PROT"], "SeriesDescription": "Patient Protocol"},
        {"SeriesDescription": "Dose Report"},
        {"BurnedInAnnotation": "YES"},
        {"BurnedInAnnotation": "yes "},
        {"ConversionType": "DF"},
        {"Modality": "", "SOPClassUID": "1.2.3.4"},
    ],
    ids=str,
)
def test_saved_screens_and_digitised_films_are_suspicious(attributes: dict[str, object]) -> None:
    assert suspicion(dicom(STORED, "CT", **attributes))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"], "BurnedInAnnotation": "NO"},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR", "CSA MPR"]},
        {"ImageType": ["DERIVED", "PRIMARY", "FINGERPRINTING"], "SeriesDescription": "low dose chest"},
        {"Modality": ""},
        {"SOPClassUID": "1.2.3.4"},
        {"ConversionType": "WSD"},
    ],
    ids=str,
)
def test_images_of_scanners_are_not(attributes: dict[str, object]) -> None:
    assert suspicion(dicom(STORED, "CT", **attributes)) is None


def test_ultrasound_is_told_by_class_or_modality() -> None:
    assert is_ultrasound(dicom(STORED, "US", Modality=""))
    assert is_ultrasound(dicom(STORED, "CT", Modality="IVUS"))
    assert not is_ultrasound(dicom(STORED, "CT", SOPClassUID=uid.VLPhotographicImageStorage))
