from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from components.dicom.kinds import not_an_image
from tests.drawing import dicom

STORAGE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    ("sop_class", "says"),
    [
        (uid.SegmentationStorage, "Segmentation Storage"),
        (uid.SurfaceSegmentationStorage, "Surface Segmentation Storage"),
        (uid.RTDoseStorage, "RT Dose Storage"),
        (uid.RTStructureSetStorage, "RT Structure Set Storage"),
        (uid.GrayscaleSoftcopyPresentationStateStorage, "Presentation State"),
        (uid.RawDataStorage, "Raw Data Storage"),
        (uid.SpatialFiducialsStorage, "Spatial Fiducials Storage"),
        (uid.TwelveLeadECGWaveformStorage, "ECG Waveform Storage"),
        (uid.EncapsulatedPDFStorage, "Encapsulated PDF Storage"),
        (uid.EncapsulatedCDAStorage, "Encapsulated CDA Storage"),
        (uid.MRSpectroscopyStorage, "MR Spectroscopy Storage"),
    ],
)
@pytest.mark.parametrize("modality", ["OT", "CT", ""])
def test_the_sop_class_tells_what_is_no_image_whatever_the_modality(modality: str, sop_class: str, says: str) -> None:
    kind = not_an_image(dicom(np.zeros((4, 5), np.uint8), SOPClassUID=sop_class, Modality=modality))
    assert kind is not None and says in kind


@pytest.mark.parametrize("modality", ["SEG", "RTDOSE", "RTSTRUCT", "PR", "SR", "KO", "REG", "FID"])
def test_the_modality_tells_whatever_the_sop_class(modality: str) -> None:
    assert not_an_image(dicom(np.zeros((4, 5), np.uint8), "CT", Modality=modality))


@pytest.mark.parametrize(
    "sop_class",
    [
        *(STORAGE + number for number in ("2", "2.1", "4.4", "6.1", "3", "6", "7", "20", "128", "130", "481.1")),
        uid.OphthalmicTomographyImageStorage,
        uid.ParametricMapStorage,
        uid.EnhancedUSVolumeStorage,
        "1.2.3.4.5",
        "",
    ],
)
def test_images_and_what_nobody_knows_pass(sop_class: str) -> None:
    assert not_an_image(dicom(np.zeros((4, 5), np.uint8), SOPClassUID=sop_class)) is None
