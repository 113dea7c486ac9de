"""Takes one item of a source in: read, de-identify, look for identity left, store, describe."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from components.dicom import identity, leak_scan
from components.dicom.attributes import named, require
from components.dicom.burned_in import Reviewed, clean, regions_to_keep
from components.dicom.deidentify import Pseudonyms, deidentify
from components.dicom.duplicates import Stored, stored
from components.dicom.identity import Identity
from components.dicom.read import decode, open_dicom
from components.dicom.text_search import refuse_text
from components.handover import IndexRow, StepError
from components.imaging.decoding import BROKEN, REMEDY, FaultyFile, UnreadableImage, faults_of, machine_lacks
from components.sources.items import DicomFile, Item, Picture, Unreadable

SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True)
class Taken:
    """One item that was met: quarantined where there is no `image`."""

    row: IndexRow
    image: Stored | None


@dataclass
class Intake:
    """Where the items of a source go, and what all of them share."""

    staging: Path
    pseudonyms: Pseudonyms
    reviewed: Reviewed
    numbers: Iterator[int]  # of files in `staging`, which several sources may share
    find_text: bool = False  # in the regions that an image keeps, where no person reviewed it

    def next_file(self, suffix: str) -> Path:
        return self.staging / f"{next(self.numbers):07d}{suffix}"


def take(item: Item, source: str, task: str, intake: Intake) -> Taken:
    """The item stored in `intake.staging`, or quarantined with the reason.

    Raises `StepError` where identity is left after de-identification: that is a fault of this program, not of the file.
    Any other fault of this program passes through, with a note that names the item.
    """
    row = _blank_row(item, source, task)
    if isinstance(item, Unreadable):
        return _quarantined(item, row, item.reason)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")  # about values that are odd, not about what is lost
        try:
            return _take_dicom(item, row, intake) if isinstance(item, DicomFile) else _take_picture(item, row, intake)
        except UnreadableImage as error:
            return _quarantined(item, row, error.reason)
        except StepError:
            raise  # says itself what to do
        except (FileNotFoundError, PermissionError) as error:  # since the source was listed
            if item.path is None or Path(str(error.filename)) != item.path:
                raise
            why = (error.strerror or type(error).__name__).lower()
            return _quarantined(item, row, f"expected a file that may be read, found {why}. Run again, or leave it out")
        except Exception as error:
            error.add_note(f"while {item.name} of the source {source} was taken in: a fault of this program")
            raise


def content_hash(pixels: NDArray[np.float32]) -> str:
    """SHA-256 of decoded values and their shape: the same for one image under several lossless encodings."""
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _take_dicom(item: DicomFile, row: IndexRow, intake: Intake) -> Taken:
    original = open_dicom(item.path)
    with faults_of(item.name):
        require(original, "SOPClassUID", "SOPInstanceUID")
        if not UID(str(original.SOPClassUID)).is_valid:  # text, where its VR is wrong
            raise FaultyFile(f"{named(0x00080016)}: expected a UID, found other text. {REMEDY}")
    known = identity.collect(original)
    sha256 = hashlib.sha256(item.path.read_bytes()).hexdigest()
    boxes = regions_to_keep(original, sha256, intake.reviewed, item.name)
    image = deidentify(original, intake.pseudonyms, item.name)
    if boxes is not None:
        clean(image, boxes, item.name)
    if item.simulated:  # the profile removes free text, and this must not be lost
        image.SeriesDescription, image.ImageComments = "SIMULATED", "SIMULATED: no person was imaged"
    pixels = decode(image, item.name).pixels
    if intake.find_text and boxes is not None and sha256 not in intake.reviewed:
        refuse_text(pixels, boxes, sha256, item.name)
    row, shape = _with_pixels(row, pixels)
    path = intake.next_file(".dcm")
    _write(image, path, item.name)
    _refuse_leaks(path, known, item.name)
    return Taken(_with_header(row, image), stored(image, path, row.sha256, shape))


def _write(image: FileDataset, path: Path, name: str) -> None:
    try:
        image.save_as(path, enforce_file_format=True)
    except BROKEN as error:
        if lacking := machine_lacks(error):
            raise lacking from error
        tag = re.search(r"\([0-9A-Fa-f]{4}, ?[0-9A-Fa-f]{4}\)", str(error))  # never the value, which can be a name
        raise UnreadableImage(
            name,
            f"the attribute {tag[0] if tag else 'of which pydicom does not say the number'}: expected a value that its "
            f"VR can hold, found another. {REMEDY}",
        ) from error


def _take_picture(item: Picture, row: IndexRow, intake: Intake) -> Taken:
    content = item.read()
    if content.pixels.size == 0 or not np.isfinite(content.pixels).all():
        raise UnreadableImage(item.name, "has no values, or values that are not numbers")
    row, shape = _with_pixels(row, content.pixels)
    row = replace(
        row,
        patient_id=intake.pseudonyms.patient("picture", item.patient),
        modality=item.modality,
        bits_stored=content.bits,
        photometric="RGB" if len(shape) == 4 else "MONOCHROME2",
        pixel_spacing_mm=content.spacing_mm,
    )
    path = intake.next_file(".npy")
    np.save(path, content.pixels, allow_pickle=False)
    return Taken(row, Stored(path, row.sha256, shape, content.bits))


def _quarantined(item: Item, row: IndexRow, reason: str) -> Taken:
    """What a library says of a file may quote it: no word of its header, its name or its folders stays in `reason`."""
    try:
        content = item.path.read_bytes() if isinstance(item, DicomFile) else item.name.encode()
    except OSError:
        content = item.name.encode()
    image_id = hashlib.sha256(content).hexdigest()[:16]
    if item.path is not None:
        resolved = os.path.realpath(item.path)  # `Path.resolve` raises on a loop of links
        for path in sorted({str(item.path), repr(str(item.path)), resolved}, key=len, reverse=True):
            reason = reason.replace(path, "the file")
        reason = reason.replace(item.path.name, "the file")
    if isinstance(item, DicomFile):
        reason = identity.redact(reason, identity.collect_file(item.path))
    return Taken(replace(row, image_id=image_id, quarantined=True, reason=reason), None)


def _refuse_leaks(path: Path, known: Identity, name: str) -> None:
    """Raises `UnreadableImage` where only binary data hold identity, as where a broken file has header for pixels."""
    found = leak_scan.leaks(path, known)
    if found and all(leak.place == leak_scan.BYTES_OF_FILE for leak in found):
        attributes = ", ".join(sorted({leak.origin for leak in found}))
        raise UnreadableImage(
            name, f"its pixel data hold what its header says in {attributes}: expected pixels alone. {REMEDY}"
        )
    if found:
        listed = "\n  ".join(f"{leak.origin} is left in {leak.place}" for leak in found)
        raise StepError(
            f"file {name}: expected no identity after de-identification, found {len(found)} value(s). Nothing was "
            f"kept. `medsr where {name}` says which file it is: take it out of the source, or mend "
            f"components/dicom/deidentify.py.\n  {listed}"
        )


def _blank_row(item: Item, source: str, task: str) -> IndexRow:
    return IndexRow(
        image_id="", source=source, patient_id="", study="", series="", modality="", body_part="", rows=None,
        columns=None, frames=None, bits_stored=None, photometric="", pixel_spacing_mm="", transfer_syntax="", sha256="",
        label=item.label if task == "classification" else "", quarantined=False, reason="", task=task,
        simulated=item.simulated, minimum=None, maximum=None, file_name=item.name,
        path="",
    )  # fmt: skip


def _with_pixels(row: IndexRow, pixels: NDArray[np.float32]) -> tuple[IndexRow, tuple[int, ...]]:
    sha256 = content_hash(pixels)
    frames, rows, columns = pixels.shape[:3]
    measured = replace(
        row,
        image_id=sha256[:16],
        sha256=sha256,
        frames=frames,
        rows=rows,
        columns=columns,
        minimum=float(pixels.min()),
        maximum=float(pixels.max()),
    )
    return measured, pixels.shape


def _with_header(row: IndexRow, image: Dataset) -> IndexRow:
    return replace(
        row,
        patient_id=str(image.PatientID),
        study=str(image.get("StudyInstanceUID", "")),
        series=str(image.get("SeriesInstanceUID", "")),
        modality=str(image.get("Modality", "")),
        body_part=_joined(image.get("BodyPartExamined")),
        bits_stored=int(image.get("BitsStored") or image.BitsAllocated),
        photometric=str(image.PhotometricInterpretation),
        pixel_spacing_mm=_spacing(image),
        transfer_syntax=str(image.file_meta.TransferSyntaxUID),
    )


def _joined(value: object) -> str:
    """Several values as DICOM writes them, with a backslash between."""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")


def _spacing(image: Dataset) -> str:
    shared = image.get("SharedFunctionalGroupsSequence") or []
    own = image.get("PerFrameFunctionalGroupsSequence") or []
    measures = [
        group.PixelMeasuresSequence[0] for group in (*shared[:1], *own[:1]) if group.get("PixelMeasuresSequence")
    ]
    for dataset in (image, *measures):
        for keyword in SPACINGS:
            value = dataset.get(keyword)
            if value and all(float(one) > 0 for one in value):
                return "\\".join(str(one) for one in value)
    return ""
