"""`medsr serve` as an administrator starts and ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pynetdicom
import pytest
import yaml
from pydicom.uid import CTImageStorage

from components.adapters import registry, tracking, training_runs
from components.handover import Layout, read_record
from components.serving.spool import MADE, SENT, WAITING, Spool
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import PROJECT, eventually
from tests.services import free_port
from tests.serving.nodes import archive, send
from tests.serving.web import multipart

pytestmark = pytest.mark.service


def configured(layout: Layout, port: int, archive_port: int) -> Path:
    settings: dict[str, Any] = yaml.safe_load((PROJECT / "infra/serve.yaml").read_text())
    settings["node"] |= {"port": port, "peers": [{"ae_title": "SENDER", "address": "127.0.0.1"}]}
    settings["node"]["destinations"][0] |= {"ae_title": "ARCHIVE", "port": archive_port}
    settings["http"]["port"] = free_port()
    settings["spool"]["keep_free_gib"] = 0.0
    (layout.root / "serve.yaml").write_text(yaml.safe_dump(settings))
    return layout.root / "serve.yaml"


def started(layout: Layout, *arguments: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "serve", "--settings", "serve.yaml", *arguments],
        cwd=layout.root,
        env=environment | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def crown(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.initialise(project)
    record = training_runs.restore(project, read_record(project.model("srcnn") / "run.json"))
    registry.point(project, registry.register(project, "sr-generator", record, {}), "champion")


def test_the_champion_serves_until_it_is_told_to_end(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    crown(project, monkeypatch)
    image = write_dicom(project.root / "one.dcm", dicom((shapes(40, 48) * 3000).astype(np.uint16)))
    with archive() as there:
        configured(project, port := free_port(), there.port)
        service = started(project, "--json")
        assert service.stdout
        about = json.loads(service.stdout.readline())
        assert about.pop("url").startswith("http://127.0.0.1:")
        assert about == {
            "ae_title": "MEDSR", "host": "127.0.0.1", "port": port, "model": "sr-generator", "version": "1",
        }  # fmt: skip
        assert send(port, [image], CTImageStorage) == [0]
        spool = Spool(project.root / "spool")
        assert eventually(lambda: spool.counts()[SENT] == 1)
        service.send_signal(signal.SIGTERM)
        _, said = service.communicate(timeout=60)
    assert service.returncode == 0, said
    ((arrived,),) = there.taken.values()
    assert arrived.Rows == 40 * registry.load_generator(project).scale
    assert "Nobody may use HTTP yet" in said
    assert "made by sr-generator 1" in said and "Doe" not in said


def odd(path: Path) -> Path:
    """An image at whose values pydicom and pynetdicom stumble, each time quoting them."""
    image = dicom((shapes(40, 48) * 3000).astype(np.uint16))
    with pydicom.config.disable_value_validation():
        image.StudyInstanceUID, image.PatientAge, image.PatientID = "1.2.3.MRN778", "Jane", "MRN-" + "9" * 70
        image.PatientBirthDate, image.AccessionNumber = "12.03.1951", "ACC778899" * 3
        image.PatientName = "Doe^Jane=Doe=Doe=Doe"
        return write_dicom(path, image)


def test_no_value_of_an_image_gets_into_the_journal_whatever_libraries_say_of_it(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(project, monkeypatch)
    image = odd(project.root / "odd.dcm")
    with pytest.warns(UserWarning, match="Jane|MRN778"):
        str(pydicom.dcmread(image))
    with archive() as there, httpx.Client(headers={"Authorization": "Bearer token"}, timeout=60) as client:
        path = configured(project, port := free_port(), there.port)
        known = yaml.safe_load(path.read_text())
        known["http"]["tokens"] = [{"name": "ward", "sha256": sha256(b"token").hexdigest()}]
        path.write_text(yaml.safe_dump(known))
        service = started(project, "--json")
        assert service.stdout
        url = json.loads(service.stdout.readline())["url"]
        monkeypatch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)
        assert send(port, [image], CTImageStorage) == [0]
        key = client.post(f"{url}/jobs", content=image.read_bytes()).json()["id"]
        body, headers = multipart(image.read_bytes(), image.read_bytes()[:-100])
        assert client.post(f"{url}/studies", content=body, headers=headers).status_code == 200
        assert client.get(f"{url}/jobs/{key}", params={"wait": 60}).json()["state"] in ("ready", "failed")
        spool = Spool(project.root / "spool")
        assert eventually(lambda: not spool.counts()[WAITING] and not spool.counts()[MADE])
        with socket.create_connection(("127.0.0.1", port)) as garbled:
            garbled.sendall(b"\x01\x00\x00\x00\x00\x08Doe^Jane")
            garbled.recv(100)
        service.send_signal(signal.SIGTERM)
        _, said = service.communicate(timeout=60)
    assert service.returncode == 0, said
    assert "UserWarning from " in said and "pynetdicom.dul said something" in said
    told = [secret for secret in ("Doe", "Jane", "MRN", "12.03.1951", "19510312", "ACC77", "1.2.3.") if secret in said]
    assert not told, said


def test_without_a_champion_it_says_so_and_does_not_begin(project: Layout) -> None:
    configured(project, free_port(), 1)
    service = started(project)
    _, said = service.communicate(timeout=120)
    assert service.returncode == 1
    assert "expected a promoted model, found none. Run `make pipeline` first." in said
