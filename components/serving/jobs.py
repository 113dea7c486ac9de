"""`/jobs`: bring an image, hear how far it is, fetch what was made of it."""

# no postponed annotations: FastAPI reads them, and these name what is local
import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from components.imaging.decoding import UnreadableImage
from components.serving import bodies
from components.serving.access import Admitted
from components.serving.desk import Desk, Held, State, suffix_of
from components.serving.rendering import rendered

ENDED: tuple[State, ...] = ("ready", "delivered", "failed")
LONGEST_WAIT_S, LOOK_S = 60.0, 0.05
MEDIA = {".dcm": "application/dicom", ".png": "image/png", ".tif": "image/tiff"}
Key = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the answer to the upload has it.")]
BODY = {"requestBody": {"required": True, "content": {kind: {} for kind in MEDIA.values()}}}
WRONG: dict[int | str, dict[str, Any]] = {
    401: {"description": "No token, or one that nobody made"},
    503: {"description": "Too many requests at work; `Retry-After` says when to come again"},
}
GONE = WRONG | {404: {"description": "No such image of yours"}}


class View(BaseModel):
    """How far an image is."""

    id: str
    state: State
    received_at: datetime
    frames_done: int | None = Field(None, description="While it is at work, and once it is known how many there are.")
    frames: int | None = None
    rows: int | None = Field(None, description="Of the sharpened image.")
    columns: int | None = None
    model: str | None = Field(None, description="The registered model that made it.")
    version: str | None = None
    seconds: float | None = None
    reason: str = Field("", description="Why it failed.")


def routes(desk: Desk, caller_of: Admitted) -> APIRouter:
    """The routes. A request without a token is refused before its body is read."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])
    Name = Annotated[str, Depends(caller_of)]

    def image_of(key: Key, caller: Name) -> Held:
        image = desk.find(key, caller)
        if image is None:
            raise HTTPException(404, "expected an image of yours, found none; what was made is kept for a time only")
        return image

    Mine = Annotated[Held, Depends(image_of)]

    @router.post("", status_code=202, openapi_extra=BODY, responses=WRONG | {413: {}, 415: {}, 507: {}})
    async def bring(request: Request, response: Response, caller: Name) -> View:
        """Brings one image, DICOM, PNG or TIFF, as the body. The same image again is the same job."""
        says_dicom = request.headers.get("content-type", "").startswith("application/dicom")
        _check_length(request, desk.file_bytes)
        async with bodies.saved_body(request.stream(), desk.spool.incoming, desk.file_bytes) as path:
            suffix = suffix_of(path, says_dicom)
            if suffix is None:
                raise HTTPException(415, "expected DICOM, PNG or TIFF, found something else")
            key = await run_in_threadpool(desk.take, path, "", caller, suffix)
        response.headers["Location"] = f"/jobs/{key}"
        return await run_in_threadpool(_view, desk, image_of(key, caller))

    @router.get("/{key}", responses=GONE)
    async def look(key: Key, caller: Name, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0) -> View:
        """How far it is; with `wait`, once it has ended or so many seconds have passed."""
        deadline = time.monotonic() + wait
        image = await run_in_threadpool(image_of, key, caller)
        while image.state not in ENDED and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_S)
            image = await run_in_threadpool(image_of, key, caller)
        return await run_in_threadpool(_view, desk, image)

    @router.get("/{key}/image", response_class=FileResponse, responses=GONE | {409: {}})
    def fetch(image: Mine) -> FileResponse:
        """The sharpened image, in the format that was brought."""
        _ready(image)
        name = f"{image.job.key}{image.job.suffix}"
        return FileResponse(image.folder / image.job.derived, media_type=MEDIA[image.job.suffix], filename=name)

    @router.get("/{key}/picture", response_class=Response, responses=GONE | {200: {"content": {"image/png": {}}}})
    def picture(image: Mine, sharpened: bool = True, frame: Annotated[int, Query(ge=1)] = 1) -> Response:
        """A PNG to look at, before or after; both under the window of the image that was brought."""
        _ready(image)
        source = image.folder / image.job.image
        try:
            png = rendered(image.folder / image.job.derived if sharpened else source, source, frame)
        except IndexError as error:
            raise HTTPException(404, "expected fewer frames") from error
        except UnreadableImage as error:
            raise HTTPException(422, str(error)) from error
        return Response(png, media_type="image/png")

    @router.delete("/{key}", status_code=204, responses=GONE | {409: {"description": "At work, or on its way"}})
    def drop(image: Mine) -> None:
        """Removes the image and what was made of it. One that waits is not made then; one at work cannot be removed."""
        if not desk.drop(image):
            raise HTTPException(409, "expected an image that waits, is ready or failed; this one is at work or sent on")

    return router


def _check_length(request: Request, max_bytes: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise bodies.too_large(max_bytes)


def _ready(image: Held) -> None:
    if image.state != "ready":
        raise HTTPException(409, f"expected an image that is ready, it is {image.state}")


def _view(desk: Desk, image: Held) -> View:
    done, of = desk.frames(image.job.key) or (0, 0)
    at_work = {"frames_done": done, "frames": of} if of else {}
    return View(
        id=image.job.key,
        state=image.state,
        received_at=datetime.fromtimestamp(image.job.received_at, UTC),
        reason=desk.reason(image),
        **(at_work | desk.details(image)),
    )
