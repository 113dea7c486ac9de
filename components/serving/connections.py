"""HTTP connections that are at work, or end soon: silence and slowness hold nothing that somebody else needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

BESIDE = 128  # connections that are not at work, beside those that may be
SILENT_S = 10.0  # from the connection, or the last answer, to the end of a request's headers
STUCK_S = 60.0  # in which nobody reads of an answer


class Connection(H11Protocol):
    """One of `most`. Where there are more, the one that waits longest for its request makes room.

    `refused` is called for each that sent what is not HTTP; the answer has `headers`.
    """

    def __init__(self, most: int, refused: Callable[[], None], headers: Mapping[str, str], **named: Any) -> None:
        super().__init__(**named)
        self._most, self._refused, self._headers = most, refused, headers
        self._silent: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()
        if len(self.connections) > self._most:
            waiting = [one for one in self.connections if isinstance(one, Connection) and not one._at_work()]
            min(waiting, key=Connection._ends_at).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._silent, self._stuck):
            if timer:
                timer.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(STUCK_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()

    def send_400_response(self, msg: str) -> None:
        self._refused()
        headers = [*self._headers.items(), ("Connection", "close"), ("Content-Length", "0")]
        answer = self.conn.send(h11.Response(status_code=400, headers=headers, reason="Bad Request"))
        self.transport.write((answer or b"") + (self.conn.send(h11.EndOfMessage()) or b""))
        self.transport.close()

    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _ends_at(self) -> float:
        return self._silent.when() if self._silent else 0.0

    def _wait_for_request(self) -> None:
        if self._silent:
            self._silent.cancel()
        self._silent = self.loop.call_later(SILENT_S, self._end_silent)

    def _end_silent(self) -> None:
        if not self._at_work():
            self.transport.abort()
