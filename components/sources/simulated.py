"""The simulated chest radiographs, as DICOM files that say so, so that they take the same way in as real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from components.params import Params
from components.simulation.cohort import BITS_STORED, SimulatedImage, simulate
from components.sources.items import DicomFile

DIGITAL_RADIOGRAPH = UID("1.2.840.10008.5.1.4.1.1.1.1")  # Digital X-Ray Image Storage, for presentation


def items(place: str, settings: Params) -> Iterator[DicomFile]:
    """One file a simulated patient; each lies on disk only until the next is asked for."""
    with TemporaryDirectory() as folder:
        cohort = settings.simulate
        for image in simulate(settings.seed, cohort.patients, cohort.size):
            name = f"simulated_{image.patient_number + 1:04d}.dcm"
            path = Path(folder) / name
            as_dicom(image, settings.seed).save_as(path, enforce_file_format=True)
            yield DicomFile(name, path, image.label, simulated=True)
            path.unlink()


def patient(image: SimulatedImage) -> str:
    return f"SIM{image.patient_number + 1:04d}"


def as_dicom(image: SimulatedImage, seed: int) -> FileDataset:
    """A digital radiograph (DX, for presentation) of `image`; its UIDs follow from the seed and the patient."""
    result = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.SOPClassUID = result.file_meta.MediaStorageSOPClassUID = DIGITAL_RADIOGRAPH
    result.SOPInstanceUID = result.file_meta.MediaStorageSOPInstanceUID = _uid(seed, image, "instance")
    result.StudyInstanceUID, result.SeriesInstanceUID = _uid(seed, image, "study"), _uid(seed, image, "series")
    result.PatientID = result.PatientName = patient(image)
    result.PatientBirthDate = result.PatientSex = result.StudyDate = result.StudyTime = result.StudyID = ""
    result.AccessionNumber = result.ReferringPhysicianName = ""
    result.SeriesDescription, result.ImageComments = "SIMULATED chest radiograph", "SIMULATED: no person was imaged"
    result.SeriesNumber = result.InstanceNumber = 1
    _describe(result)
    _add_pixels(result, image)
    return result


def _describe(result: FileDataset) -> None:
    result.Modality, result.BodyPartExamined, result.ViewPosition = "DX", "CHEST", "PA"
    result.ImageType = ["DERIVED", "PRIMARY"]
    result.AnatomicRegionSequence, result.AcquisitionContextSequence = [_thorax()], []
    result.DetectorType = result.PositionerType = ""
    result.Manufacturer = "SIMULATED"
    result.PresentationIntentType, result.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    result.PatientOrientation, result.ImageLaterality = ["L", "F"], "U"
    result.PixelIntensityRelationship, result.PixelIntensityRelationshipSign = "LOG", -1
    result.RescaleSlope, result.RescaleIntercept, result.RescaleType = 1, 0, "US"
    result.BurnedInAnnotation, result.LossyImageCompression = "NO", "00"
    result.WindowCenter, result.WindowWidth = 2 ** (BITS_STORED - 1), 2**BITS_STORED


def _add_pixels(result: FileDataset, image: SimulatedImage) -> None:
    result.SamplesPerPixel, result.PhotometricInterpretation = 1, "MONOCHROME2"
    result.Rows, result.Columns = image.pixels.shape
    result.BitsAllocated, result.BitsStored, result.HighBit = 16, BITS_STORED, BITS_STORED - 1
    result.PixelRepresentation = 0
    result.ImagerPixelSpacing = result.PixelSpacing = [f"{image.pixel_spacing_mm:.6g}"] * 2
    result.PixelData = image.pixels.astype("<u2").tobytes()


def _thorax() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Chest"
    return code


def _uid(seed: int, image: SimulatedImage, of: str) -> UID:
    digest = hashlib.sha256(f"simulated {seed} {image.patient_number} {image.pixels.shape} {of}".encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")
