"""Whether servers and workers answer. The programs' own libraries are not used: they take seconds to import."""

from __future__ import annotations

import base64
import os
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

TIMEOUT_S = 5.0
ONLINE = "ONLINE"  # a worker of which the server heard lately


def answers(address: str) -> bool:
    """Whether `address`, a page that says that a server is well, can be read."""
    try:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=not _is_here(address)) as client:
            return client.get(address).status_code == httpx.codes.OK
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):  # the last for an address that is none
        return False


def worker_answers(api: str, pool: str, since: datetime | None = None) -> bool:
    """Whether Prefect's server at `api` has a worker of this work pool online, heard of later than `since`."""
    try:
        with prefect(api) as client:
            workers = read(client, f"/work_pools/{pool}/workers/filter")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False
    return any(
        worker["status"] == ONLINE and (since is None or datetime.fromisoformat(worker["last_heartbeat_time"]) > since)
        for worker in workers
    )


def prefect(api: str) -> httpx.Client:
    """A client of Prefect's server at `api`, with the credentials that Prefect's own client sends."""
    headers = {}
    if user := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    elif key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    return httpx.Client(base_url=api, headers=headers, timeout=TIMEOUT_S, trust_env=not _is_here(api))


def read(client: httpx.Client, path: str, **wanted: Any) -> list[dict[str, Any]]:
    """What Prefect's server lists at `path`. Raises `httpx.HTTPError`, and `ValueError` for what is no JSON."""
    answer = client.post(path, json=wanted)
    answer.raise_for_status()
    listed: list[dict[str, Any]] = answer.json()
    return listed


def _is_here(address: str) -> bool:
    """Whether it is this machine's own, about which no proxy is asked."""
    return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
