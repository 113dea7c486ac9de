"""`/studies`: images as a PACS or a modality stores them over the web (STOW-RS, PS3.18 section 10.5)."""

# no postponed annotations: FastAPI reads them, and these name what is local
import logging
import re
from dataclasses import dataclass
from email.message import Message
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from starlette.concurrency import run_in_threadpool

from components.dicom.write import SUPPORTED
from components.imaging.decoding import BROKEN, UnreadableImage
from components.serving import bodies, limits
from components.serving.access import Admitted
from components.serving.desk import Desk
from components.serving.spool import DiskFull

LOGGER = logging.getLogger(__name__)
TAGS = "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"
OUT_OF_RESOURCES, NOT_SUPPORTED, NOT_UNDERSTOOD = 0xA700, 0x0122, 0xC000  # PS3.18 table I.2-2
OF_ANOTHER_STUDY = 0xC409  # one of Cxxx, "cannot understand"; the table has no code of its own for it
UID = r"[0-9.]{1,64}"
DICOM = "application/dicom"
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All were taken", "content": {"application/dicom+json": {}}},
    202: {"description": "Some were taken"},
    409: {"description": "None was taken"},
    401: {},
    413: {},
    415: {},
    503: {},
    507: {},
}


BODY = {"requestBody": {"required": True, "content": {f'multipart/related; type="{DICOM}"': {}}}}


@dataclass(frozen=True)
class Image:
    """The UIDs by which the answer identifies an image."""

    sop_class: str
    instance: str
    study: str

    def referenced(self) -> Dataset:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = self.sop_class, self.instance
        return reference


class Refused(Exception):
    """A part is refused with the Failure Reason (0008,1197) of PS3.18. `image` is empty where the part is no image."""

    def __init__(self, reason: int, image: Image | None = None) -> None:
        super().__init__(reason)
        self.reason, self.image = reason, image


def routes(desk: Desk, caller_of: Admitted) -> APIRouter:
    """The routes. A request without a token is refused before its body is read."""
    router = APIRouter(tags=["STOW-RS"])
    Name = Annotated[str, Depends(caller_of)]

    @router.post("/studies", openapi_extra=BODY, responses=ANSWERS)
    async def store(request: Request, caller: Name) -> Response:
        """Brings images, each safe here when the answer says so; they go where the settings say."""
        return await _store(desk, request, caller)

    @router.post("/studies/{study}", openapi_extra=BODY, responses=ANSWERS)
    async def store_of(request: Request, caller: Name, study: Annotated[str, Path(pattern=f"^{UID}$")]) -> Response:
        """Brings images of one study; those of another are not taken."""
        return await _store(desk, request, caller, study)

    return router


async def _store(desk: Desk, request: Request, caller: str, study: str = "") -> Response:
    answer, boundary = _Answer(str(request.base_url)), _boundary(request)
    max_parts = desk.settings.http.parts
    async for part in bodies.saved_parts(request.stream(), boundary, desk.spool.incoming, desk.file_bytes, max_parts):
        await run_in_threadpool(_take, desk, part, caller, study, answer)
    return Response(answer.text(), answer.status(), media_type="application/dicom+json")


class _Answer:
    """Store Instances Response (PS3.18 table I.2-1)."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._taken: list[Dataset] = []
        self._failed: list[Dataset] = []
        self._others: list[Dataset] = []  # parts that are no image we can read

    def taken(self, image: Image, key: str, retrievable: bool) -> None:
        reference = image.referenced()
        if retrievable:
            reference.RetrieveURL = f"{self._base}jobs/{key}/image"
        self._taken.append(reference)

    def failed(self, image: Image | None, reason: int) -> None:
        reference = image.referenced() if image else Dataset()
        reference.FailureReason = reason
        (self._failed if image else self._others).append(reference)

    def status(self) -> int:
        failed = [*self._failed, *self._others]
        if not failed:
            return 200 if self._taken else 400
        full = all(item.FailureReason == OUT_OF_RESOURCES for item in failed)
        return 202 if self._taken else 507 if full else 409

    def text(self) -> str:
        answer = Dataset()
        if self._taken:
            answer.ReferencedSOPSequence = self._taken
        if self._failed:
            answer.FailedSOPSequence = self._failed
        if self._others:
            answer.OtherFailuresSequence = self._others
        return answer.to_json()


def _take(desk: Desk, part: bodies.Part, caller: str, study: str, answer: _Answer) -> None:
    path, destination = part.path.with_suffix(".dcm"), desk.settings.http.stow_to
    part.path.rename(path)
    try:
        image = _read(desk, path, part.content_type)
        if image.sop_class not in SUPPORTED:
            raise Refused(NOT_SUPPORTED, image)
        if study not in ("", image.study):
            raise Refused(OF_ANOTHER_STUDY, image)
        answer.taken(image, _safe(desk, path, destination, caller, image), retrievable=not destination)
    except Refused as refused:
        answer.failed(refused.image, refused.reason)
    finally:
        path.unlink(missing_ok=True)


def _read(desk: Desk, path: File, content_type: str) -> Image:
    """The UIDs of the image in `path`. Raises `Refused` where it cannot be read as DICOM."""
    if content_type not in (DICOM, ""):
        raise Refused(NOT_UNDERSTOOD)
    try:
        limits.check_file(path, desk.settings.limits)
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
        uids = [header.get(tag) for tag in TAGS]
    except (UnreadableImage, InvalidDicomError, *BROKEN) as error:
        raise Refused(NOT_UNDERSTOOD) from error
    if not all(isinstance(uid, str) and uid for uid in uids):  # none, or more than one
        raise Refused(NOT_UNDERSTOOD)
    image = Image(*map(str, uids))
    if not (re.fullmatch(UID, image.sop_class) and re.fullmatch(UID, image.instance)):
        raise Refused(NOT_UNDERSTOOD)
    return image


def _safe(desk: Desk, path: File, destination: str, caller: str, image: Image) -> str:
    """The key of the image, on disk now. Raises `Refused` where the disk does not take it; the next may be smaller."""
    try:
        return desk.take(path, destination, caller, ".dcm")
    except (DiskFull, OSError) as error:
        LOGGER.error("an image was not taken: %s", error)
        raise Refused(OUT_OF_RESOURCES, image) from error


def _boundary(request: Request) -> str:
    header = Message()
    header["Content-Type"] = request.headers.get("content-type", "")
    boundary, media_type = header.get_boundary(), str(header.get_param("type") or DICOM).lower()
    if header.get_content_type() != "multipart/related" or not boundary or media_type != DICOM:
        raise HTTPException(415, f'expected multipart/related; type="{DICOM}" with a boundary')
    return boundary
