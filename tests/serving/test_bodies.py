from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import HTTPException

from components.serving import bodies
from tests.serving.web import multipart


async def cut(body: bytes, seed: int) -> AsyncIterator[bytes]:
    """In chunks of any length, as a network would."""
    random, at = np.random.default_rng(seed), 0
    while at < len(body):
        length = int(random.integers(1, 200))
        yield body[at : at + length]
        at += length


async def split(chunks: AsyncIterator[bytes], folder: Path, limit: int = 10_000, max_parts: int = 10) -> list[bytes]:
    found = []
    async for part in bodies.saved_parts(chunks, "between", folder, limit, max_parts):
        found.append(part.path.read_bytes())
        part.path.unlink()
    return found


@pytest.mark.parametrize("seed", range(8))
def test_parts_come_out_as_they_went_in_however_the_body_is_cut(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    images = [random.bytes(int(size)) for size in random.integers(0, 3000, 5)]
    images += [b"\r\n--between", b"\r\n--betwee", b"--between--", b"\r\n" * 50, b"\r\n--betweem\r\n\r\n"]
    images = [image for image in images if b"\r\n--between" not in image]
    body, _ = multipart(*images)
    assert asyncio.run(split(cut(body, seed), tmp_path)) == images
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (multipart(b"x" * 10_001)[0], 413),
        (multipart(*[b"x"] * 11)[0], 413),
        (multipart(b"x")[0][:-4], 400),
        (b"", 400),
        (b"no multipart at all, whatever it says", 400),
        (b"--between\r\n" + b"A: " + b"b" * 10_000, 400),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, body: bytes, status: int) -> None:
    with pytest.raises(HTTPException) as refused:
        asyncio.run(split(cut(body, 0), tmp_path))
    assert refused.value.status_code == status
    assert list(tmp_path.iterdir()) == []


def test_who_stops_sending_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PAUSE_S", 0.05)

    async def begins() -> AsyncIterator[bytes]:
        yield b"--between\r\n\r\nbegins"
        await asyncio.sleep(30)

    async def take() -> None:
        async with bodies.saved_body(begins(), tmp_path, 1000):
            raise AssertionError("it never came")

    for work in (take(), split(begins(), tmp_path)):
        with pytest.raises(HTTPException) as refused:
            asyncio.run(work)
        assert refused.value.status_code == 408
    assert list(tmp_path.iterdir()) == []
