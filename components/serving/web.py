"""The service over HTTP: uploads, jobs, health, metrics, and a page to try it on."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serving import jobs, stow
from components.serving.access import at_most, caller_of
from components.serving.connections import BESIDE, Connection
from components.serving.desk import Desk
from components.serving.metrics import Metrics
from components.serving.spool import DiskFull

PAGE = Path(__file__).with_name("page")
FILES = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}
GRACE_S = 10  # for requests at work when the service ends
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Web:
    """Takes and gives images for callers with a token. Health and metrics are open to everybody."""

    def __init__(self, desk: Desk, metrics: Metrics) -> None:
        self._desk, self._metrics = desk, metrics

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Listens until the block ends, and gives the port. Raises `OSError` where it is taken."""
        http = self._desk.settings.http
        family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
        config = uvicorn.Config(
            _Finishing(self.application(), self._metrics),
            http=partial(Connection, http.requests + BESIDE, self._metrics.refused, HEADERS),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=http.certificate or None,
            ssl_keyfile=http.key or None,
            timeout_graceful_shutdown=GRACE_S,
        )
        config.load()  # here, where what is wrong with the certificate can be said
        with socket.create_server((http.host, http.port), family=family) as listener:
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http")
            thread.start()
            try:
                yield int(listener.getsockname()[1])
            finally:
                server.should_exit = True
                thread.join()

    def application(self) -> FastAPI:
        """All routes."""
        application = FastAPI(
            title="medsr",
            version=version("medsr"),
            summary="Sharpens medical images. Research software, not a medical device.",
            docs_url=None,  # these pages fetch their scripts from elsewhere
            redoc_url=None,
        )
        application.add_exception_handler(DiskFull, _disk_full)
        application.add_exception_handler(OSError, _disk_full)
        application.add_exception_handler(ClientDisconnect, _disconnected)
        http = self._desk.settings.http
        caller = at_most(http.requests, caller_of(http.tokens))
        application.include_router(jobs.routes(self._desk, caller))
        application.include_router(stow.routes(self._desk, caller))
        self._add_open_routes(application)
        return application

    def _add_open_routes(self, application: FastAPI) -> None:
        for path, name in FILES.items():
            application.add_api_route(path, _file(PAGE / name), include_in_schema=False, response_class=FileResponse)

        @application.get("/health", tags=["operation"])
        async def health() -> dict[str, str]:
            """The service answers."""
            return {"status": "alive"}

        @application.get("/ready", tags=["operation"], responses={507: {"description": "No room for more images"}})
        def ready() -> dict[str, str]:
            """The service has room for images."""
            self._desk.spool.check_room()
            return {"status": "ready"}

        @application.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
        def metrics() -> Response:
            """Numbers for Prometheus."""
            return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)


class _Finishing:
    """Counts every answer, errors too, and adds the security headers for browsers."""

    def __init__(self, application: ASGIApp, metrics: Metrics) -> None:
        self._application, self._metrics = application, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def finish(message: Message) -> None:
            if message["type"] == "http.response.start":
                closes = (
                    {"Connection": "close"} if message["status"] == 500 else {}
                )  # uvicorn does, and does not say so
                MutableHeaders(scope=message).update(HEADERS | closes)
                path = getattr(scope.get("route"), "path", "none")  # of the route, with no number in it
                self._metrics.answered(scope["method"], path, message["status"])
            await send(message)

        await self._application(scope, receive, finish if scope["type"] == "http" else send)


def _file(path: Path) -> Callable[[], FileResponse]:
    def file() -> FileResponse:
        return FileResponse(path)

    return file


def _disk_full(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, OSError) and error.errno != errno.ENOSPC:
        raise error
    return JSONResponse({"detail": "no room for more images now; come again later"}, 507, {"Retry-After": "60"})


def _disconnected(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody hears it
