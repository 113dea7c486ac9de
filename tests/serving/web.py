"""Callers of the service over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.serving.nodes import HOST, TOKENS
from tests.serving.test_service import Running, running

DICOM = {"Content-Type": "application/dicom"}


@contextmanager
def calling(service: Running, name: str = "ward") -> Iterator[httpx.Client]:
    """Someone with a token; nobody where the name is empty."""
    headers = {"Authorization": f"Bearer {TOKENS[name]}"} if name else {}
    with httpx.Client(base_url=f"http://{HOST}:{service.web}", headers=headers, timeout=60) as client:
        yield client


@contextmanager
def served(root: Path, archive_port: int = 1) -> Iterator[tuple[Running, httpx.Client]]:
    """The service, and someone from the ward."""
    with running(root, archive_port) as service, calling(service) as client:
        yield service, client


def bring(client: httpx.Client, path: Path) -> dict[str, Any]:
    """The job, once nothing more becomes of it."""
    answer = client.post("/jobs", content=path.read_bytes(), headers=DICOM)
    assert answer.status_code == 202, answer.text
    return ended(client, answer.json()["id"])


def ended(client: httpx.Client, key: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        view: dict[str, Any] = client.get(f"/jobs/{key}").json()
        if view["state"] in ("ready", "failed", "delivered"):
            return view
        time.sleep(0.05)
    raise AssertionError(f"still {view}")


def multipart(
    *images: bytes, kind: str = "application/dicom", boundary: str = "between"
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a STOW-RS request."""
    head = f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode()
    body = b"".join(head + image + b"\r\n" for image in images) + f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
