"""HTTP connections with time limits, so that silent and slow clients hold no place that others need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

BESIDE = 128  # connections that are not at work, beside those that may be
SILENT_S = 10.0  # from the connection, or the last answer, to the end of a request's headers
STUCK_S = 60.0  # for which a client may read nothing of an answer


class Connection(H11Protocol):
    """One of `limit`. Beyond these, the connection that has waited longest for its request is closed.

    `refused` is called after a message that is not HTTP. Its answer has `headers`.
    """

    def __init__(self, limit: int, refused: Callable[[], None], headers: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._limit, self._refused, self._headers = limit, refused, headers
        self._silence_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()
        if len(self.connections) > self._limit:
            idle = [c for c in self.connections if isinstance(c, Connection) and not c._at_work()]
            min(idle, key=Connection._ends_at).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._silence_timer, self._write_timer):
            if timer:
                timer.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(STUCK_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()

    def send_400_response(self, msg: str) -> None:
        self._refused()
        headers = [*self._headers.items(), ("Connection", "close"), ("Content-Length", "0")]
        answer = self.conn.send(h11.Response(status_code=400, headers=headers, reason="Bad Request"))
        self.transport.write((answer or b"") + (self.conn.send(h11.EndOfMessage()) or b""))
        self.transport.close()

    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _ends_at(self) -> float:
        return self._silence_timer.when() if self._silence_timer else 0.0

    def _wait_for_request(self) -> None:
        if self._silence_timer:
            self._silence_timer.cancel()
        self._silence_timer = self.loop.call_later(SILENT_S, self._end_silent)

    def _end_silent(self) -> None:
        if not self._at_work():
            self.transport.abort()
