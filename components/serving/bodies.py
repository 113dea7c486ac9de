"""Request bodies are written to files in chunks, so that no upload is held in memory as a whole."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

from fastapi import HTTPException
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

PAUSE_S = 60.0  # that a sender may make between two chunks
HEADER_BYTES = 4096  # of a part


@asynccontextmanager
async def saved_body(chunks: AsyncIterator[bytes], folder: Path, max_bytes: int) -> AsyncIterator[Path]:
    """The body in a file of `folder`, which is removed when the block ends.

    Raises `HTTPException` for a body of more than `max_bytes` bytes, an empty one and one that stops coming.
    """
    path, size = folder / uuid4().hex, 0
    try:
        with path.open("wb") as handle:
            async for chunk in _in_time(chunks):
                size += len(chunk)
                if size > max_bytes:
                    raise too_large(max_bytes)
                handle.write(chunk)
        if not size:
            raise HTTPException(400, "expected an image as the body, found nothing")
        yield path
    finally:
        path.unlink(missing_ok=True)


def too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"expected at most {max_bytes} bytes an image, found more")


@dataclass
class Part:
    """One part of a body. The caller removes its file."""

    path: Path
    content_type: str
    size: int = 0


async def saved_parts(
    chunks: AsyncIterator[bytes], boundary: str, folder: Path, max_bytes: int, max_parts: int
) -> AsyncIterator[Part]:
    """The parts of a `multipart/related` body (RFC 2387) in files of `folder`, each as soon as it is whole.

    Raises `HTTPException` for a part of more than `max_bytes` bytes and for more than `max_parts` parts. It raises it
    too for a body that is not multipart, ends too early or stops coming.
    """
    splitter = _Splitter(boundary, folder, max_bytes, max_parts)
    try:
        async for chunk in _in_time(chunks):
            try:
                splitter.parser.write(chunk)
            except MultipartParseError as error:
                raise HTTPException(400, f"expected multipart/related: {error}") from error
            while splitter.complete:
                yield splitter.complete.popleft()
        if not splitter.ended:
            raise HTTPException(400, "expected a closing boundary, the body ends before it")
    finally:
        splitter.close()


class _Splitter:
    """Writes the parser's events into files."""

    def __init__(self, boundary: str, folder: Path, max_bytes: int, max_parts: int) -> None:
        self.complete: deque[Part] = deque()
        self.ended = False
        self._folder, self._max_bytes, self._parts_left = folder, max_bytes, max_parts
        self._name, self._value = b"", b""
        self._part: Part | None = None
        self._handle: IO[bytes] | None = None
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._more_name,
                "on_header_value": self._more_value,
                "on_header_end": self._header,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
            max_header_size=HEADER_BYTES,
        )

    def close(self) -> None:
        """Removes the files of parts that the caller did not take."""
        if self._handle and self._part:
            self._handle.close()
            self.complete.append(self._part)
        for part in self.complete:
            part.path.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._parts_left -= 1
        if self._parts_left < 0:
            raise HTTPException(413, "expected fewer images in one request")
        self._part = Part(self._folder / uuid4().hex, "")
        self._handle = self._part.path.open("wb")

    def _more_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _more_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        if self._part and self._name.lower() == b"content-type":
            self._part.content_type = self._value.decode("latin-1").partition(";")[0].strip().lower()
        self._name, self._value = b"", b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is None or self._handle is None:
            return
        self._part.size += end - start
        if self._part.size > self._max_bytes:
            raise too_large(self._max_bytes)
        self._handle.write(data[start:end])

    def _end(self) -> None:
        if self._part and self._handle:
            self._handle.close()
            self.complete.append(self._part)
        self._part = self._handle = None

    def _finish(self) -> None:
        self.ended = True


async def _in_time(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(PAUSE_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise HTTPException(408, f"nothing came for {PAUSE_S:.0f} s") from error
        yield chunk
