"""A real PACS on both sides: Orthanc sends real images to the service, and gets them back sharpened."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from components.handover import Layout
from components.serving.champion import Champion
from components.serving.service import Service
from components.serving.settings import Destination, Peer
from components.serving.spool import QUARANTINE, SENT, STORED
from tests.flows.conftest import eventually
from tests.orthanc import IMAGES, REAL, Pacs, orthanc, pacs, service_port
from tests.serving.nodes import BICUBIC, HOST, settings
from tests.validator import dciodvfy, errors

pytestmark = pytest.mark.service

__all__ = ["dciodvfy", "orthanc", "pacs", "service_port"]  # fixtures


@pytest.fixture
def service(tmp_path: Path, pacs: Pacs, service_port: int) -> Iterator[Service]:
    found = settings(
        pacs.dicom_port,
        port=service_port,
        peers=(Peer("ORTHANC", HOST),),
        destinations=(Destination("archive", "ORTHANC", HOST, pacs.dicom_port, tls=False, commits=True),),
    )
    serving = Service(Layout(tmp_path), found, Champion(lambda: BICUBIC))
    stop, heard = threading.Event(), []
    thread = threading.Thread(target=serving.run, args=(stop, heard.append))
    thread.start()
    assert eventually(lambda: bool(heard))
    yield serving
    stop.set()
    thread.join(60)


def test_real_images_go_out_and_come_back_sharpened_to_the_same_place(
    pacs: Pacs, service: Service, tmp_path: Path, dciodvfy: str
) -> None:
    sources = {modality: dcmread(REAL / name) for modality, name in IMAGES.items()}
    assert {modality: source.Modality for modality, source in sources.items()} == {name: name for name in IMAGES}
    numbers = [pacs.store(REAL / name) for name in IMAGES.values()]
    sent = pacs.client.post("/modalities/medsr/store", content=json.dumps(numbers)).raise_for_status().json()
    assert sent["FailedInstancesCount"] == 0 and sent["InstancesCount"] == len(IMAGES)
    assert eventually(lambda: service.spool.counts()[SENT] == len(IMAGES)), service.spool.counts()
    assert service.spool.counts()[QUARANTINE] == 0
    back = {image.SourceImageSequence[0].ReferencedSOPInstanceUID: image for image in pacs.derived()}
    assert set(back) == {source.SOPInstanceUID for source in sources.values()}
    for modality, source in sources.items():
        derived = back[source.SOPInstanceUID]
        assert (derived.Modality, derived.StudyInstanceUID) == (source.Modality, source.StudyInstanceUID), modality
        assert derived.SeriesInstanceUID != source.SeriesInstanceUID
        assert ("ImagePositionPatient" in source) == (modality in ("CT", "MR"))
        assert_same_place(source, derived)
        assert_same_picture(source, derived)
        derived.save_as(tmp_path / f"{modality}.dcm", enforce_file_format=True)
        assert errors(dciodvfy, tmp_path / f"{modality}.dcm") - errors(dciodvfy, REAL / IMAGES[modality]) == set()


def test_an_image_that_the_pacs_lost_is_sent_to_it_again(
    pacs: Pacs, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone between the store and the question; Orthanc says so, on an association of its own."""
    ask, lost = service._commitments.ask, []

    def ask_late() -> None:
        if not lost and service.spool.counts()[STORED]:
            (derived,) = pacs.derived()
            (inside,) = pacs.client.post("/tools/lookup", content=derived.SOPInstanceUID).json()
            pacs.client.delete(f"/instances/{inside['ID']}").raise_for_status()
            lost.append(derived.SOPInstanceUID)
        ask()

    monkeypatch.setattr(service._commitments, "ask", ask_late)
    number = pacs.store(REAL / IMAGES["MR"])
    pacs.client.post("/modalities/medsr/store", content=json.dumps([number])).raise_for_status()
    assert eventually(lambda: service.spool.counts()[SENT] == 1), service.spool.counts()
    assert [image.SOPInstanceUID for image in pacs.derived()] == lost


def assert_same_place(source: Dataset, derived: Dataset) -> None:
    """The corners of the field that the pixels cover, in mm, where the image says where it lies."""
    if "ImagePositionPatient" not in source:
        return
    np.testing.assert_allclose(corners(derived), corners(source), atol=0.01)


def corners(image: Dataset) -> np.ndarray[Any, Any]:
    """Outer corners in patient space, PS3.3 C.7.6.2.1.1."""
    across, down = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    rows_mm, columns_mm = (float(value) for value in image.PixelSpacing)
    first = np.array(image.ImagePositionPatient, float) - 0.5 * across * columns_mm - 0.5 * down * rows_mm
    width, height = across * columns_mm * image.Columns, down * rows_mm * image.Rows
    return np.stack([first, first + width, first + height, first + width + height])


def assert_same_picture(source: Dataset, derived: Dataset) -> None:
    """Made coarse again it is its source: bicubic interpolation took nothing away and moved nothing."""
    fine, coarse = (image.pixel_array.astype(np.float64) for image in (derived, source))
    if fine.ndim == 3:
        fine, coarse = fine.mean(-1), coarse.mean(-1)
    again = fine.reshape(coarse.shape[0], 2, coarse.shape[1], 2).mean((1, 3))
    assert np.corrcoef(again.ravel(), coarse.ravel())[0, 1] > 0.98
    shifted = np.corrcoef(np.roll(again, 1, 0).ravel(), coarse.ravel())[0, 1]
    assert np.corrcoef(again.ravel(), coarse.ravel())[0, 1] > shifted
