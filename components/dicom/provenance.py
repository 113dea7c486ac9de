"""Who an enlarged image is and how it came to be: new UIDs, the image it was made from, the network that made it.

Follows PS3.3 C.7.6.1 (general image), C.7.6.16.2.6 (derivation image), C.7.5.1 (contributing equipment) and the codes
of PS3.16 CID 7202 (source image purposes), 7203 (derivations) and 7005 (contributing equipment).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from pydicom import uid
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

MAKER = "medsr"
RESEARCH_USE = "Research use only, not for diagnosis."
SERIES_NOTE = "enhanced, research use"
LONG_STRING = 64  # characters of a DICOM long string (LO)
LARGEST_OFFSET_HOURS = 14
ENHANCED = frozenset(
    {
        uid.EnhancedCTImageStorage,
        uid.EnhancedMRImageStorage,
        uid.EnhancedPETImageStorage,
        uid.LegacyConvertedEnhancedCTImageStorage,
        uid.LegacyConvertedEnhancedMRImageStorage,
        uid.LegacyConvertedEnhancedPETImageStorage,
    }
)
# their ImageType has PRIMARY as its only second value (C.8.16.1.2, C.8.4.9.1.1, C.8.9.4.1.1)
ALWAYS_PRIMARY = ENHANCED | {uid.NuclearMedicineImageStorage, uid.PositronEmissionTomographyImageStorage}
# describe an original enhanced MR (C.8.13.4, C.7.6.18.3); validators refuse them in a derived one
ORIGINAL_ONLY = (
    "PulseSequenceName", "MRAcquisitionType", "EchoPulseSequence", "MultipleSpinEcho", "MultiPlanarExcitation",
    "PhaseContrast", "VelocityEncodingAcquisitionSequence", "TimeOfFlightContrast", "ArterialSpinLabelingContrast",
    "SteadyStatePulseSequence", "EchoPlanarPulseSequence", "SaturationRecovery", "SpectrallySelectedSuppression",
    "OversamplingPhase", "GeometryOfKSpaceTraversal", "SegmentedKSpaceTraversal", "RectilinearPhaseEncodeReordering",
    "CoverageOfKSpace", "NumberOfKSpaceTrajectories", "BulkMotionCompensationTechnique",
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """The network behind an enlargement, as the registry knows it."""

    name: str
    version: str
    scale: int


def identify(image: FileDataset, source: Dataset, pixels_sha256: str, model: Model) -> None:
    """Gives UIDs that follow from the source, the model and the pixels: done again, it is the same instance."""
    made_by = [model.name, model.version, str(model.scale)]
    image.SOPInstanceUID = uid.generate_uid(entropy_srcs=["instance", source.SOPInstanceUID, *made_by, pixels_sha256])
    image.SeriesInstanceUID = uid.generate_uid(entropy_srcs=["series", source.SeriesInstanceUID, *made_by])
    image.SeriesNumber = 1000 + int(source.get("SeriesNumber") or 0)
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID


def explain(image: Dataset, source: Dataset, model: Model, created_at: datetime) -> None:
    """Says what `image` was made from, by what, when and for what use; times are in the zone that `image` declares."""
    created_at = created_at.astimezone(_zone(image))
    _retype(image, source)
    note = f"x{model.scale} {SERIES_NOTE}"
    described = str(source.get("SeriesDescription") or "")[: LONG_STRING - len(note) - 1]
    image.SeriesDescription = f"{described} {note}".strip()
    image.InstanceCreationDate, image.InstanceCreationTime = f"{created_at:%Y%m%d}", f"{created_at:%H%M%S}"
    equipment = [*(image.get("ContributingEquipmentSequence") or ()), _equipment(model, created_at)]
    image.ContributingEquipmentSequence = equipment
    derivations = _derivations(image)
    for item in derivations:
        item.DerivationDescription = _description(item, model)
        item.DerivationCodeSequence = [*(item.get("DerivationCodeSequence") or ()), _coded(codes.DCM.SpatialResampling)]
        item.SourceImageSequence = [_reference(source)]
    if derivations[0] is not image:  # functional groups point at sources that the image lists with their series
        image.SourceImageEvidenceSequence = [*(image.get("SourceImageEvidenceSequence") or ()), _evidence(source)]


def _zone(image: Dataset) -> tzinfo | None:
    """Of Timezone Offset From UTC (C.12.1.1.8), which all times of a data set are in; nothing where it says none."""
    said = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", str(image.get("TimezoneOffsetFromUTC") or "").strip())
    if said is None or int(said[2]) > LARGEST_OFFSET_HOURS:
        return None
    ahead = timedelta(hours=int(said[2]), minutes=int(said[3]))
    return timezone(ahead if said[1] == "+" else -ahead)


def _retype(image: Dataset, source: Dataset) -> None:
    kind = _values(source, "ImageType")
    second = "PRIMARY" if source.SOPClassUID in ALWAYS_PRIMARY else "SECONDARY"
    image.ImageType = ["DERIVED", second, *kind[2:]]
    if source.SOPClassUID == uid.EnhancedMRImageStorage:
        for keyword in ORIGINAL_ONLY:
            image.pop(keyword, None)
    for group in _functional_groups(image):
        for keyword in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
            for item in group.get(keyword) or ():
                item.FrameType = ["DERIVED", *(_values(item, "FrameType")[1:] or [second])]


def _values(item: Dataset, keyword: str) -> list[str]:
    """All values of an attribute; pydicom gives one alone as a string, and padding in some files as part of it."""
    value = item.get(keyword) or ()
    return [str(part).strip() for part in ([value] if isinstance(value, str) else value)]


def _functional_groups(image: Dataset) -> list[Dataset]:
    shared = image.get("SharedFunctionalGroupsSequence") or ()
    return [*shared, *(image.get("PerFrameFunctionalGroupsSequence") or ())]


def _derivations(image: Dataset) -> list[Dataset]:
    """Where an image says what it was made from: itself, or the functional groups of an enhanced multi-frame one."""
    if image.SOPClassUID not in ENHANCED or not image.get("SharedFunctionalGroupsSequence"):
        return [image]
    groups = [group for group in _functional_groups(image) if "DerivationImageSequence" in group]
    items = []
    for group in groups or image.SharedFunctionalGroupsSequence[:1]:
        items.append(Dataset())
        group.DerivationImageSequence = [*(group.get("DerivationImageSequence") or ()), items[-1]]
    return items


def _description(item: Dataset, model: Model) -> str:
    before = str(item.get("DerivationDescription") or "")
    ours = f"Enlarged x{model.scale} by the super-resolution network {model.name}, version {model.version}."
    return " ".join(part for part in (before[:700], ours, RESEARCH_USE) if part)


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [_coded(codes.DCM.SourceImageForImageProcessingOperation)]
    return item


def _evidence(source: Dataset) -> Dataset:
    """The source, found from its study down (macro of table C.17-3b)."""
    study, series, instance = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = source.SeriesInstanceUID, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = source.StudyInstanceUID, [series]
    return study


def _equipment(model: Model, created_at: datetime) -> Dataset:
    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName = MAKER, model.name[:LONG_STRING]
    item.SoftwareVersions = model.version[:LONG_STRING]
    item.ContributionDateTime = f"{created_at:%Y%m%d%H%M%S%z}"
    item.ContributionDescription = f"Super-resolution x{model.scale}. {RESEARCH_USE}"
    item.PurposeOfReferenceCodeSequence = [_coded(codes.DCM.ProcessingEquipment)]
    return item


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
