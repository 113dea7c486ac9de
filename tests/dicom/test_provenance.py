from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset

from components.dicom.write import derive
from tests.drawing import dicom

NOON = datetime(2026, 2, 3, 12, 0, 5, tzinfo=UTC)


def derived(
    source: Dataset, value: int = 7, name: str = "sr-generator", version: str = "3", scale: int = 2
) -> FileDataset:
    stored = np.full((source.Rows * scale, source.Columns * scale), value, np.uint16)
    return derive(source, stored, scale, name, version, NOON)


def drawn(modality: str = "CT", **attributes: Any) -> FileDataset:
    return dicom(np.zeros((6, 9), np.uint16), modality, **attributes)


def test_it_is_a_new_instance_in_a_new_series_of_the_same_study_patient_and_class() -> None:
    source = drawn()
    image = derived(source)
    assert image.SOPInstanceUID != source.SOPInstanceUID
    assert image.SeriesInstanceUID != source.SeriesInstanceUID
    assert image.SeriesNumber == 1001
    for keyword in ("StudyInstanceUID", "PatientID", "SOPClassUID", "FrameOfReferenceUID", "Manufacturer"):
        assert image[keyword].value == source[keyword].value
    assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
    assert image.SOPInstanceUID.is_valid


def test_the_same_work_done_again_gives_the_same_identity() -> None:
    source = drawn()
    assert derived(source) == derived(source)


@pytest.mark.parametrize("other", [{"value": 8}, {"version": "4"}, {"name": "srcnn"}, {"scale": 4}])
def test_other_pixels_or_another_model_give_another_identity(other: dict[str, Any]) -> None:
    source = drawn()
    assert derived(source, **other).SOPInstanceUID != derived(source).SOPInstanceUID


def test_images_of_one_series_stay_together() -> None:
    first, second = drawn(), drawn()
    second.SeriesInstanceUID = first.SeriesInstanceUID
    assert derived(first).SeriesInstanceUID == derived(second, value=9).SeriesInstanceUID
    assert derived(first).SeriesInstanceUID != derived(first, version="4").SeriesInstanceUID


@pytest.mark.parametrize(
    ("modality", "before", "after"),
    [
        ("CT", ["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL"]),
        ("NM", ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"], ["DERIVED", "PRIMARY", "TOMO", "EMISSION"]),
        ("CR", ["DERIVED "], ["DERIVED", "SECONDARY"]),
    ],
)
def test_the_image_type_says_derived_and_keeps_what_follows(modality: str, before: list[str], after: list[str]) -> None:
    assert derived(drawn(modality, ImageType=before)).ImageType == after


def test_it_says_what_it_was_made_from_and_how() -> None:
    source = drawn(DerivationDescription="Averaged")
    image = derived(source)
    reference, derivation = image.SourceImageSequence[0], image.DerivationCodeSequence[0]
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == source.SOPClassUID
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert (derivation.CodeValue, derivation.CodingSchemeDesignator) == ("113085", "DCM")
    assert image.DerivationDescription.startswith("Averaged Enlarged x2 by the super-resolution network sr-generator")
    assert "Research use only" in image.DerivationDescription


def test_it_says_which_model_made_it_and_when_after_who_came_before() -> None:
    earlier = Dataset()
    earlier.Manufacturer = "Scanner Inc."
    image = derived(drawn(ContributingEquipmentSequence=[earlier]))
    before, ours = image.ContributingEquipmentSequence
    assert before.Manufacturer == "Scanner Inc."
    assert (ours.ManufacturerModelName, ours.SoftwareVersions) == ("sr-generator", "3")
    assert ours.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


@pytest.mark.parametrize(
    ("zone", "date", "time"),
    [("+0000", "20260203", "120005"), ("+1245", "20260204", "004505"), ("-1200", "20260203", "000005")],
)
def test_the_time_is_told_in_the_zone_that_the_image_declares(zone: str, date: str, time: str) -> None:
    image = derived(drawn(TimezoneOffsetFromUTC=zone))
    assert (image.InstanceCreationDate, image.InstanceCreationTime) == (date, time)
    assert image.ContributingEquipmentSequence[-1].ContributionDateTime == f"{date}{time}{zone}"


@pytest.mark.parametrize("zone", ["", "nowhere", "+9900"])
def test_without_a_zone_the_time_is_this_machines_and_says_so_where_it_can(zone: str) -> None:
    image, here = derived(drawn(TimezoneOffsetFromUTC=zone)), NOON.astimezone()
    assert (image.InstanceCreationDate, image.InstanceCreationTime) == (f"{here:%Y%m%d}", f"{here:%H%M%S}")
    assert image.ContributingEquipmentSequence[-1].ContributionDateTime == f"{here:%Y%m%d%H%M%S%z}"


def test_a_long_series_description_makes_room_for_the_note() -> None:
    described = derived(drawn(SeriesDescription="T" * 64)).SeriesDescription
    assert len(described) == 64
    assert described.endswith("TT x2 enhanced, research use")


def enhanced_mr() -> FileDataset:
    image = drawn("MR", ImageType=["ORIGINAL", "PRIMARY", "T1", "NONE"], PulseSequenceName="se2d", NumberOfFrames=1)
    image.SOPClassUID = uid.EnhancedMRImageStorage
    kind, shared, frame = Dataset(), Dataset(), Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    shared.MRImageFrameTypeSequence = [kind]
    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [shared], [frame]
    return image


def test_an_enhanced_image_says_it_in_its_functional_groups() -> None:
    source = enhanced_mr()
    image = derived(source)
    shared = image.SharedFunctionalGroupsSequence[0]
    assert image.ImageType == ["DERIVED", "PRIMARY", "T1", "NONE"]
    assert shared.MRImageFrameTypeSequence[0].FrameType == ["DERIVED", "PRIMARY", "T1", "NONE"]
    derivation = shared.DerivationImageSequence[0]
    assert derivation.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    series = image.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert "SourceImageSequence" not in image
    assert "PulseSequenceName" not in image


def test_frames_that_were_derived_before_are_derived_once_more() -> None:
    source = enhanced_mr()
    source.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence = [Dataset()]
    image = derived(source)
    assert len(image.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence) == 2
    assert "DerivationImageSequence" not in image.SharedFunctionalGroupsSequence[0]
    assert len(source.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence) == 1


def test_a_part_of_a_concatenation_becomes_an_image_of_its_own() -> None:
    source = enhanced_mr()
    source.ConcatenationUID, source.SOPInstanceUIDOfConcatenationSource = "1.2.3.4.5", "1.2.3.9"
    source.InConcatenationNumber, source.InConcatenationTotalNumber, source.ConcatenationFrameOffsetNumber = 2, 3, 40
    image = derived(source)
    assert not [element.keyword for element in image if "oncatenation" in element.keyword]
    reference = image.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
