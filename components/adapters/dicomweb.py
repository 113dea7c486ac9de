"""A DICOMweb archive: searched by QIDO-RS, read by WADO-RS, written by STOW-RS (PS3.18 chapter 10)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from components.dicom.provenance import SERIES_NOTE
from components.dicom.write import SUPPORTED
from components.handover import StepError

TOKEN = "MEDSR_DICOMWEB_TOKEN"  # the variable that holds a bearer token
PAGE = 500  # answers a request
TIMEOUT_S = 60.0
TRIES = 3  # once more where a server or the way to it is away; what was stored twice is the same instance
STUDY, SERIES, INSTANCE, KIND, DESCRIPTION = "0020000D", "0020000E", "00080018", "00080016", "0008103E"
# which keys a server has to match at which level, PS3.18 tables 10.6.1-5 and 10.6.2
STUDY_KEYS = frozenset(
    {
        "StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName", "PatientName",
        "PatientID", "StudyInstanceUID", "StudyID", "StudyDescription", "InstitutionName",
    }
)  # fmt: skip
SERIES_KEYS = frozenset(
    {"Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "BodyPartExamined",
     "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"}
)  # fmt: skip
INSTANCE_KEYS = frozenset({"SOPClassUID", "SOPInstanceUID", "InstanceNumber"})
# told of the archive, not of one image; after these there is no use in asking for the next
NOT_THE_IMAGE = (401, 403, 407, 429, 502, 503, 504)


@dataclass(frozen=True)
class Remote:
    """An image in the archive at `url`; it can be handed to another process, and holds no secret."""

    url: str
    study: str
    series: str
    instance: str

    def fetch(self, path: Path) -> None:
        """Writes the image to `path`. Raises `StepError` where this image fails, `OSError` where the archive does."""
        with _readable_errors(self.url, self.instance):
            image = _client(self.url).retrieve_instance(
                self.study, self.series, self.instance, media_types=(("application/dicom", "*"),)
            )
            image.save_as(path, enforce_file_format=True)

    def give_back(self, path: Path) -> None:
        """Stores the image in `path` in the same study. Raises as `fetch` does."""
        with _readable_errors(self.url, self.instance):
            answer = _client(self.url).store_instances([dcmread(path)], study_instance_uid=self.study)
        refused = [hex(reference.get("FailureReason", 0)) for reference in answer.get("FailedSOPSequence") or ()]
        if refused or not answer.get("ReferencedSOPSequence"):
            raise StepError(
                f"{self.instance}: the archive does not store it: {', '.join(refused) or 'it gives no reason'}."
            )


@dataclass(frozen=True)
class SearchResult:
    """The answer to a query."""

    images: list[Remote]
    skipped: int  # objects that are no images we can sharpen, or that were made by us


def find(url: str, where: Mapping[str, str]) -> SearchResult:
    """The images that match `where`, values by DICOM keyword, with `*` and date ranges as PS3.4 C.2.2.2 has them.

    Searches study by study and series by series, because no server has to match a study's key among its instances.
    Raises `StepError` for an address or key that it cannot search by, `OSError` where the archive does not answer.
    """
    _check(url, where)
    client = _client(url)
    studies, series, instances = (
        {key: value for key, value in where.items() if key in level}
        for level in (STUDY_KEYS, SERIES_KEYS, INSTANCE_KEYS)
    )
    images, skipped = [], 0
    with _readable_errors(url):
        for study in _pages(client.search_for_studies, STUDY, studies):
            study_uid = _uid(url, study, STUDY)
            for series_row in _pages(client.search_for_series, SERIES, series, study_uid):
                series_uid = _uid(url, series_row, SERIES)
                derived = _value(series_row, DESCRIPTION).endswith(SERIES_NOTE)
                for instance in _pages(client.search_for_instances, INSTANCE, instances, study_uid, series_uid):
                    if derived or _value(instance, KIND) not in SUPPORTED:
                        skipped += 1
                    else:
                        images.append(Remote(url, study_uid, series_uid, _uid(url, instance, INSTANCE)))
    return SearchResult(images, skipped)


def _check(url: str, where: Mapping[str, str]) -> None:
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise StepError(f"{url}: expected the address of a DICOMweb service, such as https://pacs/dicom-web.")
    if os.environ.get(TOKEN) and address.scheme == "http" and address.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise StepError(f"{url}: expected https, because everybody on the way could read the token in {TOKEN}.")
    search_keys = STUDY_KEYS | SERIES_KEYS | INSTANCE_KEYS
    if unknown := sorted(set(where) - search_keys):
        raise StepError(f"{', '.join(unknown)}: no key to search by. Known are {', '.join(sorted(search_keys))}.")
    if not where:
        raise StepError(f"{url}: expected something to search for. Say what, such as PatientID=0815.")


@lru_cache(maxsize=4)
def _client(url: str) -> DICOMwebClient:
    """A client that takes proxies, certificates and `.netrc` from `requests`."""
    session = requests.Session()
    if token := os.environ.get(TOKEN):
        session.auth = _Bearer(token)
    retry = Retry(total=TRIES, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Wildcards(max_retries=retry))
    client = DICOMwebClient(url.rstrip("/"), session=session, timeout=TIMEOUT_S)
    client.set_http_retry_params(retry=False)  # its own knows no refused connection and no Retry-After
    return client


class _Wildcards(HTTPAdapter):
    """`*` as it is, which a query may hold (RFC 3986 3.4): there are archives that read %2A as three characters."""

    def send(self, request: requests.PreparedRequest, *others: Any, **more: Any) -> requests.Response:
        request.url = (request.url or "").replace("%2A", "*")
        return super().send(request, *others, **more)


class _Bearer(requests.auth.AuthBase):
    """A bearer token in place of `.netrc`. Redirects to another server do not carry it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _pages(search: Callable[..., Any], key: str, filters: Mapping[str, str], *inside: str) -> Iterator[dict[str, Any]]:
    """Each answer once, page by page. Ends when a page brings nothing new, because some servers ignore paging."""
    known_values: set[str] = set()
    while True:
        page = search(*inside, limit=PAGE, offset=len(known_values), search_filters=dict(filters))
        new = {_value(row, key): row for row in page if _value(row, key) not in known_values}
        yield from new.values()
        known_values |= new.keys()
        if not new or len(page) < PAGE:
            return


def _value(row: Mapping[str, Any], tag: str) -> str:
    """The first value of a tag (PS3.18 F.2); empty where there is none."""
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _uid(url: str, row: Mapping[str, Any], tag: str) -> str:
    value = _value(row, tag)
    if not re.fullmatch(r"[0-9][0-9.]{0,63}", value) or ".." in value:  # it becomes part of a path
        raise StepError(f"{url}: expected a UID in {tag}, found {value!r}. Ask whoever runs it.")
    return value


@contextmanager
def _readable_errors(url: str, instance: str = "") -> Iterator[None]:
    """Turns the errors of a request into `StepError` for one image, `OSError` for the archive."""
    try:
        yield
    except requests.RequestException as error:
        answer = error.response
        if answer is None:
            raise OSError(f"{url} is away: {type(error).__name__}") from error
        if instance and answer.status_code not in NOT_THE_IMAGE:
            raise StepError(f"{instance}: the archive answers {answer.status_code} {answer.reason}.") from error
        denied = answer.status_code in (401, 403)
        remedy = f" Put a token into {TOKEN}, or user and password into ~/.netrc." if denied else ""
        raise OSError(f"{url} answers {answer.status_code} {answer.reason}.{remedy}") from error
