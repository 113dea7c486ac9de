"""Debian's Orthanc with its DICOMweb plugin, on loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset, dcmread

from components.adapters.dicomweb import _client
from tests.flows.conftest import eventually
from tests.programs import missing, needed
from tests.services import free_port

HOST = "127.0.0.1"
REAL = Path(str(files("data_store"))) / "data"
IMAGES = {"CR": "RG1_UNCI.dcm", "CT": "693_UNCI.dcm", "MR": "MR2_UNCI.dcm", "US": "US1_UNCI.dcm"}
STORED = {"CT": IMAGES["CT"], "MR": "MR-SIEMENS-DICOM-WithOverlays.dcm", "US": IMAGES["US"]}  # of half a megapixel
PASSWORD = "orthanc-of-a-test"
PLUGINS = Path("/usr/share/orthanc/plugins")


@pytest.fixture
def orthanc() -> str:
    package, purpose = "orthanc and orthanc-dicomweb", "no image goes through a real PACS"
    if not any(PLUGINS.glob("*DicomWeb*")):
        missing(f"no DICOMweb plugin in {PLUGINS}", package, purpose)
    return needed("Orthanc", package, purpose)


@dataclass
class Pacs:
    client: httpx.Client
    dicom_port: int

    @property
    def dicomweb(self) -> str:
        """The address of its DICOMweb service."""
        return f"{str(self.client.base_url).rstrip('/')}/dicom-web"

    def store(self, path: Path) -> str:
        return str(self.client.post("/instances", content=path.read_bytes()).raise_for_status().json()["ID"])

    def derived(self) -> list[Dataset]:
        """Every image whose type says so, by QIDO and WADO as any other client asks."""
        found = self.client.get("/dicom-web/instances", headers={"Accept": "application/dicom+json"})
        images = []
        for row in found.raise_for_status().json():
            study, series, number = (row[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
            inside = self.client.post("/tools/lookup", content=number).json()
            whole = self.client.get(f"/instances/{inside[0]['ID']}/file").raise_for_status().content
            image = dcmread(BytesIO(whole))
            assert (image.StudyInstanceUID, image.SeriesInstanceUID) == (study, series)
            if image.ImageType[0] == "DERIVED" and "ContributingEquipmentSequence" in image:
                images.append(image)
        return images


@pytest.fixture
def service_port() -> int:
    return free_port()


@pytest.fixture
def pacs(orthanc: str, tmp_path: Path, service_port: int) -> Iterator[Pacs]:
    http, dicom_port = free_port(), free_port()
    plugins = [str(path) for path in PLUGINS.glob("*DicomWeb*")]
    configuration = {
        "Name": "ORTHANC", "StorageDirectory": str(tmp_path / "orthanc"), "IndexDirectory": str(tmp_path / "orthanc"),
        "HttpPort": http, "DicomPort": dicom_port, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True, "RegisteredUsers": {"medsr": PASSWORD},
        "Plugins": plugins, "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomModalities": {
            "medsr": {"AET": "MEDSR", "Host": HOST, "Port": service_port, "AllowStorageCommitment": True}
        },
        "DicomAlwaysAllowStore": True,
        "DicomServerEnabled": True, "OverwriteInstances": False,
    }  # fmt: skip
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    with (tmp_path / "orthanc.log").open("w") as log:
        process = subprocess.Popen([orthanc, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://{HOST}:{http}", timeout=60, auth=("medsr", PASSWORD))
    try:
        assert eventually(lambda: answers(client)), (tmp_path / "orthanc.log").read_text()
        yield Pacs(client, dicom_port)
    finally:
        client.close()
        process.terminate()
        process.wait(30)


@pytest.fixture
def dicomweb(pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of its DICOMweb service, the user and password in a `.netrc`; it holds `STORED`."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login medsr password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in STORED.values():
        pacs.store(REAL / name)
    yield pacs.dicomweb
    _client.cache_clear()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/system").status_code == 200
    except httpx.TransportError:
        return False
